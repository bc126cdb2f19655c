/*
 * acl: who may read and write which topics: Mosquitto's ACL file, compiled.
 *
 * Every client has one list of rules (its user's, or that of the anonymous), and all share the patterns. Each of the two is a tree of topic levels:
 *
 *     users ─► "ann" ─► "house" ─► "+" ─► "temperature": read          levels are found by hash; '+', '#' and variables hang on the node
 *     anonymous ─► "news" ─► '#': read
 *     patterns ─► "devices" ─► %c ─► '#': read and write
 *
 * A question is answered as Mosquitto 2.0 and 2.1 answer it for the same file:
 *   1. A rule that denies, in the client's own list, that matches the topic: no. One that grants the access: yes.
 *   2. A client whose identifier or user name has a '+' or '#' gets nothing from patterns.
 *   3. A pattern that denies: no. One that grants: yes. Otherwise: no.
 * The order of lines makes no difference: denials come first in each list. A client whose user has no rules has an empty list, not that of the anonymous.
 *
 * Where 2.0 and 2.1 differ the narrower answer is given, except that variables may stand inside a level (dev-%c), as in 2.0: a value with a '/' never fits, nor one that is
 * empty or has control characters, and a pattern that starts with a variable never matches a topic that starts with '$'. Beyond Mosquitto, %{name} in a pattern is the
 * claim of that name in the client's token; without that claim the pattern matches nothing.
 *
 * Invariants
 *   A1  immutable once read: any thread may ask.
 *   A2  what cannot be read as a whole is not used at all: the error names file and line. An empty file grants nothing.
 *   A3  a question looks at each node of the two trees at most once.
 */
#ifndef TIDEWIRE_ENGINE_ACCESS_ACL_H
#define TIDEWIRE_ENGINE_ACCESS_ACL_H

#include "engine/identity/claim.h"
#include "router/levels.h"

#include <stddef.h>

enum acl_access { /* bit mask */
    ACL_READ = 1,
    ACL_WRITE = 2,
};

struct acl;

/* Who asks. All borrowed. */
struct acl_subject {
    struct bytes client_id;
    struct bytes user;    /* user name; looked at only if `named` */
    bool named;           /* false: anonymous */
    const struct principal_claim *claims;
    uint32_t claim_count;
};

/* What depends on the subject alone, found once per session and ACL. */
struct acl_rights {
    uint32_t list;        /* of the subject's own rules */
    bool patterns;        /* they apply */
    bool client_id_fits;  /* it may stand for %c */
    bool user_fits;       /* ... for %u */
};

/* A topic name, cut into levels once for all who are asked about; they are hashed as far as somebody had to look. */
struct acl_topic {
    struct bytes name;
    uint32_t hashed;
    struct levels levels;
};

/* NULL and one line in `error` when the file cannot be read or has a mistake. */
struct acl *acl_read(const char *path, char *error, size_t error_size);
/* The same from a text; `name` stands for the file in `error`. */
struct acl *acl_parse(const char *text, size_t size, const char *name, char *error, size_t error_size);
void acl_free(struct acl **acl);
/* Asserts the invariants of the trees. For tests and fuzzing. */
void acl_check(const struct acl *acl);

struct acl_rights acl_find_rights(const struct acl *acl, const struct acl_subject *subject);
/* `name` is borrowed. The result serves for every ACL. */
void acl_cut_topic(struct bytes name, struct acl_topic *out);
/* `rights` are those of this subject in this ACL; one access. */
bool acl_allows(const struct acl *acl, const struct acl_rights *rights, const struct acl_subject *subject, enum acl_access access, struct acl_topic *topic);

/*
 * Whether the valid `filter` (without `$share/`) could match a topic that the subject may read. False only if there is none for sure; true may be wrong where several denials
 * together cover what is granted, and where it would take long to find out (a filter with wildcards, and thousands of rules).
 */
bool acl_may_subscribe(const struct acl *acl, const struct acl_rights *rights, const struct acl_subject *subject, struct bytes filter);

#endif
