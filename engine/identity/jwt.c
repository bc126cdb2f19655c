#include "engine/identity/jwt.h"

#include "engine/identity/base64url.h"
#include "engine/identity/json.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A header says little: anything longer is not meant for us, and is parsed before anybody has proven anything. */
#define HEADER_BYTES_MAX 2048u
#define HEADER_VALUES_MAX 16
#define PAYLOAD_VALUES_MAX 256
/* Seconds since 1970 beyond this are no date; they also fit a double exactly. */
#define DATE_MAX 1e12

struct parts {
    struct bytes header, payload, signature;
    struct bytes signed_text; /* header.payload */
};

static bool
split(struct bytes token, struct parts *parts)
{
    if (token.size == 0 || token.size > JWT_SIZE_MAX) {
        return false;
    }
    const uint8_t *end = token.data + token.size;
    const uint8_t *first = memchr(token.data, '.', token.size);
    const uint8_t *second = first != NULL ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL) {
        return false;
    }
    parts->header = bytes_of(token.data, (uint32_t)(first - token.data));
    parts->payload = bytes_of(first + 1, (uint32_t)(second - first - 1));
    parts->signature = bytes_of(second + 1, (uint32_t)(end - second - 1));
    parts->signed_text = bytes_of(token.data, (uint32_t)(second - token.data));
    return parts->header.size > 0;
}

/* What the header is, as an object; NULL if it is none. */
static cJSON *
read_header(struct bytes encoded)
{
    uint8_t text[BASE64URL_ROOM(HEADER_BYTES_MAX)];
    uint32_t size;
    if (encoded.size > HEADER_BYTES_MAX || !base64url_decode(encoded, text, &size)) {
        return NULL;
    }
    return json_read(bytes_of(text, size), HEADER_VALUES_MAX);
}

bool
jwt_looks_like_one(struct bytes password)
{
    struct parts parts;
    return split(password, &parts) && parts.header.data[0] == 'e'; /* a brace, encoded */
}

static enum jwt_algorithm
algorithm_of(const cJSON *header)
{
    struct bytes name;
    return json_text(json_member(header, "alg"), &name) ? jwt_algorithm_named(name) : JWT_ALGORITHM_NONE_OF_OURS;
}

bool
jwt_is_costly(struct bytes token)
{
    struct parts parts;
    cJSON *header = split(token, &parts) ? read_header(parts.header) : NULL;
    enum jwt_algorithm algorithm = header != NULL ? algorithm_of(header) : JWT_ALGORITHM_NONE_OF_OURS;
    cJSON_Delete(header);
    return algorithm == JWT_RS256 || algorithm == JWT_ES256;
}

/* Before any key is looked at. */
static enum jwt_verdict
judge_header(const cJSON *header, struct bytes *kid)
{
    const cJSON *name = json_member(header, "kid");
    *kid = bytes_of(NULL, 0);
    if (!cJSON_IsString(json_member(header, "alg")) || (name != NULL && !json_text(name, kid))) {
        return JWT_MALFORMED;
    }
    if (algorithm_of(header) == JWT_ALGORITHM_NONE_OF_OURS) {
        return JWT_BAD_ALGORITHM;
    }
    return json_member(header, "crit") != NULL ? JWT_CRITICAL_HEADER : JWT_GOOD;
}

static enum jwt_verdict
check_signature(const struct jwt_policy *policy, const cJSON *header, const struct parts *parts)
{
    struct bytes kid;
    enum jwt_verdict verdict = judge_header(header, &kid);
    if (verdict != JWT_GOOD) {
        return verdict;
    }
    uint8_t signature[BASE64URL_ROOM(JWT_SIZE_MAX)];
    uint32_t size;
    if (!base64url_decode(parts->signature, signature, &size)) {
        return JWT_MALFORMED;
    }
    switch (jwt_keys_try(policy->keys, algorithm_of(header), kid, parts->signed_text, bytes_of(signature, size))) {
    case JWT_TRIAL_GOOD:
        return JWT_GOOD;
    case JWT_TRIAL_WRONG:
        return JWT_BAD_SIGNATURE;
    default:
        return JWT_NO_KEY;
    }
}

/* ----------------------------------------------------------------------------------------------------------------- claims */

/* NumericDate (RFC 7519 2): seconds since 1970, perhaps with a fraction. False if the claim is there and is none. */
static bool
read_date(const cJSON *payload, const char *name, bool *there, double *seconds)
{
    const cJSON *claim = json_member(payload, name);
    *there = claim != NULL;
    if (claim == NULL) {
        return true;
    }
    *seconds = cJSON_IsNumber(claim) ? claim->valuedouble : -1;
    return *seconds >= 0 && *seconds <= DATE_MAX;
}

static enum jwt_verdict
judge_dates(const struct jwt_policy *policy, const cJSON *payload, uint64_t wall_ms, struct jwt_result *out)
{
    bool expires, starts, issued;
    double expiry = 0, start = 0, issue = 0;
    if (!read_date(payload, "exp", &expires, &expiry) || !read_date(payload, "nbf", &starts, &start) || !read_date(payload, "iat", &issued, &issue)) {
        return JWT_BAD_CLAIMS;
    }
    double now = (double)wall_ms / 1000, leeway = policy->leeway_s;
    if (!expires && policy->require_expiry) {
        return JWT_NO_EXPIRY;
    }
    if (expires && now >= expiry + leeway) {
        return JWT_EXPIRED; /* RFC 7519 4.1.4: on or after */
    }
    if ((starts && now + leeway < start) || (issued && now + leeway < issue)) {
        return JWT_NOT_YET;
    }
    out->expires_ms = expires ? (uint64_t)((expiry + leeway) * 1000) : 0;
    return JWT_GOOD;
}

/* `aud` is a string or an array of them (RFC 7519 4.1.3). */
static bool
audience_has(const cJSON *claim, struct bytes audience)
{
    struct bytes text;
    if (json_text(claim, &text)) {
        return bytes_equal(text, audience);
    }
    for (const cJSON *item = cJSON_IsArray(claim) ? claim->child : NULL; item != NULL; item = item->next) {
        if (json_text(item, &text) && bytes_equal(text, audience)) {
            return true;
        }
    }
    return false;
}

static enum jwt_verdict
judge_parties(const struct jwt_policy *policy, const cJSON *payload)
{
    struct bytes issuer = {0};
    bool issued = json_text(json_member(payload, "iss"), &issuer);
    if (policy->issuer.size > 0 && !(issued && bytes_equal(issuer, policy->issuer))) {
        return JWT_OTHER_ISSUER;
    }
    /* RFC 7519 4.1.3: who is not named by `aud` must refuse, and without a name of our own we are not. */
    const cJSON *audience = json_member(payload, "aud");
    bool asked = audience != NULL || policy->audience.size > 0;
    return asked && !(policy->audience.size > 0 && audience_has(audience, policy->audience)) ? JWT_OTHER_AUDIENCE : JWT_GOOD;
}

static bool
keep_text(struct jwt_result *out, struct bytes text, struct bytes *kept)
{
    if (text.size > JWT_TEXT_MAX - out->text_used) {
        return false;
    }
    *kept = bytes_of(out->text + out->text_used, text.size);
    memcpy(out->text + out->text_used, text.data, text.size);
    out->text_used += text.size;
    return true;
}

static const cJSON *
claim_named(const cJSON *payload, struct bytes name)
{
    for (const cJSON *claim = payload->child; claim != NULL; claim = claim->next) {
        if (bytes_equal(name, bytes_of(claim->string, (uint32_t)strlen(claim->string)))) {
            return claim;
        }
    }
    return NULL;
}

/* Strings, whole numbers and switches have a text; false for everything else. `room` holds a number's. */
static bool
claim_text(const cJSON *claim, char *room, size_t room_size, struct bytes *text)
{
    if (cJSON_IsNumber(claim) && claim->valuedouble >= -9e15 && claim->valuedouble <= 9e15 && claim->valuedouble == (double)(int64_t)claim->valuedouble) {
        *text = bytes_of(room, (uint32_t)snprintf(room, room_size, "%lld", (long long)claim->valuedouble));
        return true;
    }
    if (cJSON_IsBool(claim)) {
        *text = cJSON_IsTrue(claim) ? bytes_of("true", 4) : bytes_of("false", 5);
        return true;
    }
    return json_text(claim, text);
}

static enum jwt_verdict
keep_claims(const struct jwt_policy *policy, const cJSON *payload, struct jwt_result *out)
{
    for (uint32_t i = 0; i < policy->claim_count; i++) {
        char number[32];
        struct bytes text;
        struct jwt_claim *kept = &out->claims[out->claim_count];
        const cJSON *claim = claim_named(payload, policy->claims[i]);
        if (claim == NULL || !claim_text(claim, number, sizeof number, &text)) {
            continue;
        }
        if (!keep_text(out, text, &kept->value)) {
            return JWT_BAD_CLAIMS;
        }
        kept->name = policy->claims[i];
        out->claim_count++;
    }
    return JWT_GOOD;
}

static enum jwt_verdict
judge_user(const struct jwt_policy *policy, const cJSON *payload, struct bytes user_name, struct jwt_result *out)
{
    struct bytes user = {0};
    const cJSON *claim = claim_named(payload, policy->user_claim);
    if (!json_text(claim, &user) || user.size == 0) {
        return JWT_NO_USER;
    }
    if (!keep_text(out, user, &out->user)) {
        return JWT_BAD_CLAIMS;
    }
    return policy->match_user && !bytes_equal(user, user_name) ? JWT_OTHER_USER : JWT_GOOD;
}

static enum jwt_verdict
judge_payload(const struct jwt_policy *policy, const cJSON *payload, struct bytes user_name, uint64_t wall_ms, struct jwt_result *out)
{
    enum jwt_verdict verdict = judge_dates(policy, payload, wall_ms, out);
    if (verdict == JWT_GOOD) {
        verdict = judge_parties(policy, payload);
    }
    if (verdict == JWT_GOOD) {
        verdict = judge_user(policy, payload, user_name, out);
    }
    return verdict == JWT_GOOD ? keep_claims(policy, payload, out) : verdict;
}

enum jwt_verdict
jwt_verify(const struct jwt_policy *policy, struct bytes token, struct bytes user_name, uint64_t wall_ms, struct jwt_result *out)
{
    struct parts parts;
    cJSON *header = split(token, &parts) ? read_header(parts.header) : NULL;
    if (header == NULL) {
        return JWT_NOT_A_TOKEN;
    }
    enum jwt_verdict verdict = check_signature(policy, header, &parts);
    cJSON_Delete(header);
    if (verdict != JWT_GOOD) {
        return verdict;
    }
    uint8_t text[BASE64URL_ROOM(JWT_SIZE_MAX)];
    uint32_t size;
    cJSON *payload = base64url_decode(parts.payload, text, &size) ? json_read(bytes_of(text, size), PAYLOAD_VALUES_MAX) : NULL;
    if (payload == NULL) {
        return JWT_MALFORMED;
    }
    out->user = bytes_of(NULL, 0);
    out->expires_ms = 0;
    out->claim_count = out->text_used = 0;
    verdict = judge_payload(policy, payload, user_name, wall_ms, out);
    cJSON_Delete(payload);
    return verdict;
}

const char *
jwt_verdict_text(enum jwt_verdict verdict)
{
    static const char *const texts[JWT_VERDICTS] = {
        [JWT_GOOD] = "a good token",
        [JWT_NOT_A_TOKEN] = "no token",
        [JWT_MALFORMED] = "a malformed token",
        [JWT_BAD_ALGORITHM] = "a token of an algorithm that is not accepted",
        [JWT_CRITICAL_HEADER] = "a token with a critical header, and none is understood",
        [JWT_NO_KEY] = "a token of a key that is not known",
        [JWT_BAD_SIGNATURE] = "a token whose signature is wrong",
        [JWT_BAD_CLAIMS] = "a token with a malformed claim",
        [JWT_EXPIRED] = "an expired token",
        [JWT_NO_EXPIRY] = "a token that never expires",
        [JWT_NOT_YET] = "a token that is not valid yet",
        [JWT_OTHER_ISSUER] = "a token of another issuer",
        [JWT_OTHER_AUDIENCE] = "a token for another audience",
        [JWT_NO_USER] = "a token that names no user",
        [JWT_OTHER_USER] = "a token of another user",
    };
    assert(verdict < JWT_VERDICTS);
    return texts[verdict];
}

void
jwt_result_check(const struct jwt_result *result)
{
    const uint8_t *end = result->text + result->text_used;
    assert(result->text_used <= JWT_TEXT_MAX && result->claim_count <= JWT_CLAIMS_MAX);
    assert(result->user.size > 0 && result->user.data >= result->text && result->user.data + result->user.size <= end);
    for (uint32_t i = 0; i < result->claim_count; i++) {
        const struct jwt_claim *claim = &result->claims[i];
        assert(claim->name.size > 0 && claim->value.data >= result->text && claim->value.data + claim->value.size <= end);
    }
}
