#include "engine/access/access.h"

#include "engine/identity/principal.h"
#include "engine/net/connection.h"
#include "engine/security/security.h"
#include "engine/session/session.h"

/* One question: on whose behalf, and by which list. */
struct question {
    const struct acl *acl; /* NULL: everything is allowed */
    struct acl_subject subject;
    struct acl_rights rights;
};

/* A session without a principal is anonymous: it was accepted before there were access lists. */
static struct question
question_of(const struct shard *shard, struct session *session)
{
    struct principal *principal = session_get_extra(session)->principal;
    unsigned listener = principal != NULL ? principal->listener : session->connection != NULL ? session->connection->listener : 0;
    struct question q = {.acl = shard->security->listeners[listener].acl, .subject.client_id = session_client_id(session)};
    if (q.acl == NULL || (principal != NULL && principal->superuser)) {
        q.acl = NULL;
        return q;
    }
    if (principal == NULL) {
        q.rights = acl_find_rights(q.acl, &q.subject);
        return q;
    }
    q.subject.user = principal->user;
    q.subject.named = principal->user.size > 0;
    q.subject.claims = principal->claims;
    q.subject.claim_count = principal->claim_count;
    if (principal->rights_generation != shard->security->generation) {
        principal->rights = acl_find_rights(q.acl, &q.subject);
        principal->rights_generation = shard->security->generation;
    }
    q.rights = principal->rights;
    return q;
}

static bool
allows(const struct question *q, enum acl_access access, struct acl_topic *topic)
{
    return q->acl == NULL || acl_allows(q->acl, &q->rights, &q->subject, access, topic);
}

bool
access_may_publish(const struct shard *shard, struct session *session, struct bytes topic_name)
{
    struct question q = question_of(shard, session);
    struct acl_topic topic;
    acl_cut_topic(topic_name, &topic);
    return allows(&q, ACL_WRITE, &topic);
}

bool
access_may_receive(const struct shard *shard, struct session *session, struct acl_topic *topic)
{
    struct question q = question_of(shard, session);
    return allows(&q, ACL_READ, topic);
}

bool
access_may_subscribe(const struct shard *shard, struct session *session, struct bytes filter)
{
    struct question q = question_of(shard, session);
    return q.acl == NULL || acl_may_subscribe(q.acl, &q.rights, &q.subject, filter);
}
