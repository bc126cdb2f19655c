/*
 * What any file can do to the reader of access lists, and any names to the questions: parts separated by 0xff are the file, a client identifier, a user name ("-": anonymous), the
 * value of the claim `t`, and topics. A topic is a filter too: both ways of asking must agree.
 */
#include <stdlib.h>

#include "engine/access/acl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static struct bytes
take_part(struct bytes *rest)
{
    const uint8_t *end = rest->size > 0 ? memchr(rest->data, 0xff, rest->size) : NULL;
    struct bytes part = bytes_of(rest->data, end != NULL ? (uint32_t)(end - rest->data) : rest->size);
    uint32_t taken = part.size + (end != NULL);
    *rest = bytes_of(rest->data + taken, rest->size - taken);
    return part;
}

static void
ask(const struct acl *acl, const struct acl_subject *subject, struct bytes name)
{
    struct topic_filter filter;
    struct acl_topic topic;
    struct acl_rights rights = acl_find_rights(acl, subject);
    if (topic_name_check(name, TOPIC_LEVELS_MAX)) {
        acl_cut_topic(name, &topic);
        bool reads = acl_allows(acl, &rights, subject, ACL_READ, &topic);
        require(reads == acl_may_subscribe(acl, &rights, subject, name));
        struct bytes all = name.data[0] == '$' ? name : bytes_of("#", 1);
        require(!reads || acl_may_subscribe(acl, &rights, subject, all));
        acl_allows(acl, &rights, subject, ACL_WRITE, &topic);
    } else if (topic_filter_parse(name, TOPIC_LEVELS_MAX, &filter)) {
        acl_may_subscribe(acl, &rights, subject, filter.filter);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    levels_init();
    struct bytes rest = bytes_of(data, (uint32_t)size);
    struct bytes text = take_part(&rest);
    char error[300] = "";
    struct acl *acl = acl_parse((const char *)text.data, text.size, "fuzz.acl", error, sizeof error);
    if (acl == NULL) {
        require(error[0] != '\0' && strchr(error, '\n') == NULL);
        return 0;
    }
    acl_check(acl);
    struct principal_claim claim = {.name = bytes_of("t", 1)};
    struct acl_subject subject = {.client_id = take_part(&rest), .user = take_part(&rest), .claims = &claim, .claim_count = 1};
    subject.named = !(subject.user.size == 1 && subject.user.data[0] == '-');
    claim.value = take_part(&rest);
    while (rest.size > 0) {
        ask(acl, &subject, take_part(&rest));
    }
    acl_free(&acl);
    return 0;
}
