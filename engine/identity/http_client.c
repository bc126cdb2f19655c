#include "engine/identity/http_client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <threads.h>

/* Idle connections that a thread keeps. */
#define KEPT_CONNECTIONS 4L

static tss_t handles; /* a CURL of each thread */

/* What the callbacks fill. */
struct exchange {
    struct http_answer *answer;
    uint32_t header_bytes;
    bool too_large;
};

bool
http_client_begin(void)
{
    static bool begun;
    if (!begun) {
        begun = curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK && tss_create(&handles, curl_easy_cleanup) == thrd_success;
    }
    return begun;
}

bool
http_url_check(const char *url)
{
    CURLU *parsed = curl_url();
    char *scheme = NULL;
    bool good = parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
                curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    curl_url_cleanup(parsed);
    return good;
}

/* The thread's handle, as new but for its open connections. */
static CURL *
take_handle(void)
{
    CURL *handle = tss_get(handles);
    if (handle == NULL) {
        handle = curl_easy_init();
        if (handle != NULL && tss_set(handles, handle) != thrd_success) {
            curl_easy_cleanup(handle);
            handle = NULL;
        }
    } else {
        curl_easy_reset(handle);
    }
    return handle;
}

/* Less than what came ends the transfer. */
static size_t
take_body(char *data, size_t unit, size_t count, void *context)
{
    struct exchange *exchange = context;
    struct http_answer *answer = exchange->answer;
    size_t size = unit * count;
    if (size > HTTP_ANSWER_BYTES_MAX - answer->size) {
        exchange->too_large = true;
        return 0;
    }
    memcpy(answer->body + answer->size, data, size);
    answer->size += (uint32_t)size;
    return size;
}

static size_t
take_header(char *data, size_t unit, size_t count, void *context)
{
    struct exchange *exchange = context;
    size_t size = unit * count;
    (void)data;
    if (size > HTTP_HEADER_BYTES_MAX - exchange->header_bytes) {
        exchange->too_large = true;
        return 0;
    }
    exchange->header_bytes += (uint32_t)size;
    return size;
}

static bool
add_header(struct curl_slist **list, const char *header)
{
    struct curl_slist *longer = curl_slist_append(*list, header);
    *list = longer != NULL ? longer : *list;
    return longer != NULL;
}

/* `Expect:` without a value keeps libcurl from asking first whether the body is welcome. */
static bool
collect_headers(const struct http_target *target, struct curl_slist **list)
{
    bool good = add_header(list, "Content-Type: application/json") && add_header(list, "Accept: application/json") && add_header(list, "Expect:");
    for (uint32_t i = 0; good && i < target->header_count; i++) {
        good = add_header(list, target->headers[i]);
    }
    return good;
}

static void
set_options(CURL *handle, const struct http_target *target, struct bytes body, struct curl_slist *headers, struct exchange *exchange)
{
    curl_easy_setopt(handle, CURLOPT_URL, target->url);
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(handle, CURLOPT_PROXY, "");
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, (long)target->timeout_ms);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, (long)target->timeout_ms);
    curl_easy_setopt(handle, CURLOPT_MAXCONNECTS, KEPT_CONNECTIONS);
    curl_easy_setopt(handle, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 2L);
    if (target->ca_file != NULL) {
        curl_easy_setopt(handle, CURLOPT_CAINFO, target->ca_file);
        curl_easy_setopt(handle, CURLOPT_CAPATH, NULL);
    }
    curl_easy_setopt(handle, CURLOPT_USERAGENT, "tidewire/" TIDEWIRE_VERSION);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE, (long)body.size);
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, (const char *)body.data);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, exchange);
}

static enum http_problem
problem_of(CURLcode code, const struct exchange *exchange)
{
    if (exchange->too_large) {
        return HTTP_TOO_LARGE;
    }
    return code == CURLE_OK ? HTTP_ANSWERED : code == CURLE_OPERATION_TIMEDOUT ? HTTP_TIMED_OUT : HTTP_NO_CONNECTION;
}

void
http_post(const struct http_target *target, struct bytes body, struct http_answer *answer)
{
    struct exchange exchange = {.answer = answer};
    struct curl_slist *headers = NULL;
    CURL *handle = take_handle();
    answer->problem = HTTP_NO_CONNECTION;
    answer->status = 0;
    answer->size = 0;
    if (handle != NULL && collect_headers(target, &headers)) {
        set_options(handle, target, body, headers, &exchange);
        answer->problem = problem_of(curl_easy_perform(handle), &exchange);
        long status = 0;
        curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
        answer->status = (uint16_t)status;
    }
    if (handle != NULL) {
        curl_easy_reset(handle); /* it points at what is about to go */
    }
    curl_slist_free_all(headers);
}
