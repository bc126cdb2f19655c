#include "engine/access/acl.h"

#include "engine/access/acl_tree.h"

#include <assert.h>

/* ------------------------------------------------------------------------------------------------------------ who is asking */

static bool
has_wildcard(struct bytes text)
{
    return text.size > 0 && (memchr(text.data, '+', text.size) != NULL || memchr(text.data, '#', text.size) != NULL);
}

struct acl_rights
acl_find_rights(const struct acl *acl, const struct acl_subject *subject)
{
    bool hostile = has_wildcard(subject->client_id) || (subject->named && has_wildcard(subject->user));
    return (struct acl_rights){
        .list = subject->named ? acl_find_child(acl, ACL_USERS, acl_hash_user(subject->user), subject->user) : (uint32_t)ACL_ANONYMOUS,
        .patterns = !hostile,
        .client_id_fits = acl_value_is_plain(subject->client_id),
        .user_fits = subject->named && acl_value_is_plain(subject->user),
    };
}

/* ------------------------------------------------------------------------------------------------------------------- topics */

void
acl_cut_topic(struct bytes name, struct acl_topic *out)
{
    out->name = name;
    out->hashed = 0;
    out->levels.sums[0] = 0;
    levels_cut(name, &out->levels);
}

static uint64_t
hash_of_level(struct acl_topic *topic, uint32_t i)
{
    if (topic->hashed <= i) {
        levels_hash(topic->name, &acl_levels_key, topic->hashed, i + 1, &topic->levels);
        topic->hashed = i + 1;
    }
    return levels_hash_of(&topic->levels, i);
}

/* One question on its way through one tree. */
struct walk {
    const struct acl *acl;
    const struct acl_rights *rights;
    const struct acl_subject *subject;
    struct acl_topic *topic;
    uint8_t wanted; /* kinds of rules that may still change the answer */
    uint8_t found;
};

static inline void
take(struct walk *w, uint8_t rules)
{
    if ((rules & w->wanted) != 0) {
        w->found |= rules & w->wanted;
        w->wanted = w->found & ACL_DENY ? 0 : (uint8_t)(w->wanted & ~w->found);
    }
}

static void visit(struct walk *w, uint32_t at, uint32_t depth);

static void
visit_variables(struct walk *w, uint32_t first, uint32_t depth, struct bytes level, bool only_dollar)
{
    for (uint32_t i = first; i != 0; i = w->acl->variables[i].next) {
        const struct acl_variable *v = &w->acl->variables[i];
        if ((w->acl->nodes[v->child].below & w->wanted) != 0 && (!only_dollar || acl_variable_is_dollar(w->acl, v)) &&
            acl_level_fits(w->acl, v, w->rights, w->subject, level)) {
            visit(w, v->child, depth + 1);
        }
    }
}

/* All rules at and below a node that match the topic from level `depth` on; whole subtrees that cannot change the answer are left out. */
static void
visit(struct walk *w, uint32_t at, uint32_t depth)
{
    const struct levels *levels = &w->topic->levels;
    for (;; depth++) {
        const struct acl_node *n = &w->acl->nodes[at];
        if ((n->below & w->wanted) == 0) {
            return;
        }
        /* MQTT5 [MQTT-4.7.2-1]; and Mosquitto: what starts with a '$' matches only what is written with it. */
        bool dollar = depth == 0 && w->topic->name.data[0] == '$';
        if (!dollar) {
            take(w, n->multi);
        }
        if (depth == levels->count) {
            take(w, n->ends);
            return;
        }
        if (!dollar && n->plus != ACL_NONE) {
            visit(w, n->plus, depth + 1);
        }
        struct bytes level = bytes_of(w->topic->name.data + levels->start[depth], levels->size[depth]);
        if (n->variables != 0) {
            visit_variables(w, n->variables, depth, level, dollar);
        }
        if ((n->literals & w->wanted) == 0) {
            return;
        }
        at = acl_find_child(w->acl, at, hash_of_level(w->topic, depth), level);
    }
}

static uint8_t
rules_that_match(struct walk *w, uint32_t root, enum acl_access access)
{
    w->wanted = (uint8_t)(ACL_DENY | access);
    w->found = 0;
    visit(w, root, 0);
    return w->found;
}

bool
acl_allows(const struct acl *acl, const struct acl_rights *rights, const struct acl_subject *subject, enum acl_access access, struct acl_topic *topic)
{
    if (topic->levels.count == 0) {
        return false; /* more levels than any topic may have */
    }
    struct walk w = {.acl = acl, .rights = rights, .subject = subject, .topic = topic};
    uint8_t found = rules_that_match(&w, rights->list, access);
    if (found == 0 && rights->patterns) {
        found = rules_that_match(&w, ACL_PATTERNS, access);
    }
    return found == access;
}

/* ------------------------------------------------------------------------------------------------------------------ checking */

static void
check_node(const struct acl *acl, uint32_t at)
{
    const struct acl_node *n = &acl->nodes[at];
    uint8_t literals = 0, below = n->ends | n->multi;
    for (uint32_t c = n->first_child; c != ACL_NONE; c = acl->nodes[c].next_sibling) {
        const struct acl_node *child = &acl->nodes[c];
        assert(c > at && child->parent == at);                                               /* N2 */
        assert(acl_find_child(acl, at, child->hash, acl_node_text(acl, child)) == c);        /* N3 */
        literals |= child->below;
    }
    for (uint32_t v = n->variables; v != 0; v = acl->variables[v].next) {
        assert(acl->variables[v].child > at && acl->nodes[acl->variables[v].child].parent == at); /* N2 */
        below |= acl->nodes[acl->variables[v].child].below;
    }
    below |= literals | acl->nodes[n->plus].below;
    assert(at == ACL_USERS || (n->literals == literals && n->below == below));               /* N1 */
    assert(n->plus == ACL_NONE || n->plus > at);                                             /* N2 */
}

void
acl_check(const struct acl *acl)
{
    assert(acl->nodes[ACL_NONE].below == 0 && acl->nodes[ACL_NONE].first_child == ACL_NONE);
    for (uint32_t i = 0; i < acl->node_count; i++) {
        check_node(acl, i);
    }
    assert(acl->table_used * 2 <= acl->table_room || acl->table_used == 0);
}
