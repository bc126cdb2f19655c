/*
 * May a subject read any topic that a filter matches? The filter and the trees are walked together: where both have something at a level, what they have in common goes on.
 * At a rule that grants reading, the common part is itself a filter (the meeting); the answer is yes unless one denial covers all of it.
 *
 * After a number of nodes the answer is yes anyhow: every delivery is asked about later, and nobody may keep a shard busy with filters.
 */
#include "engine/access/acl_tree.h"

/* A level of a filter: a text, '+', or the '#' that ends it. */
enum level_kind {
    LEVEL_TEXT,
    LEVEL_PLUS,
    LEVEL_HASH,
};

struct filter_level {
    enum level_kind kind;
    struct bytes text;
    uint64_t hash;
};

/* Raising it costs a client's hostile filter that much more time. */
#define OVERLAP_NODES_MAX 256u

struct overlap {
    const struct acl *acl;
    const struct acl_rights *rights;
    const struct acl_subject *subject;
    bool by_patterns;      /* the tree that is walked */
    uint32_t nodes_left;   /* to look at before the answer is yes, whatever it would be */
    uint32_t count;        /* levels of the filter, its '#' included */
    struct filter_level filter[TOPIC_LEVELS_MAX];
    struct filter_level meeting[TOPIC_LEVELS_MAX + 1];
};

static struct filter_level
level_of(struct bytes text, uint64_t hash)
{
    bool one = text.size == 1;
    enum level_kind kind = one && text.data[0] == '+' ? LEVEL_PLUS : one && text.data[0] == '#' ? LEVEL_HASH : LEVEL_TEXT;
    return (struct filter_level){.kind = kind, .text = text, .hash = hash};
}

/* What starts with '$' is matched only by what is written with it, so a wildcard or a variable in the first level leaves it out. */
static bool
is_dollar(struct bytes text)
{
    return text.size > 0 && text.data[0] == '$';
}

static bool
child_is_dollar(const struct overlap *o, uint32_t child)
{
    return is_dollar(acl_node_text(o->acl, &o->acl->nodes[child]));
}

/* ---------------------------------------------------------------------------------------------------------------- denials */

static bool covered_below(const struct overlap *o, uint32_t at, uint32_t depth, uint32_t size);

static bool
covered_by_variable(const struct overlap *o, uint32_t at, uint32_t depth, uint32_t size)
{
    struct bytes level = o->meeting[depth].text;
    for (uint32_t i = o->acl->nodes[at].variables; i != 0; i = o->acl->variables[i].next) {
        const struct acl_variable *v = &o->acl->variables[i];
        bool comparable = depth > 0 || is_dollar(level) == acl_variable_is_dollar(o->acl, v);
        if (comparable && acl_level_fits(o->acl, v, o->rights, o->subject, level) && covered_below(o, v->child, depth + 1, size)) {
            return true;
        }
    }
    return false;
}

/* Whether one denial at or below the node matches every topic that the rest of the meeting does. */
static bool
covered_below(const struct overlap *o, uint32_t at, uint32_t depth, uint32_t size)
{
    const struct acl_node *n = &o->acl->nodes[at];
    if ((n->below & ACL_DENY) == 0) {
        return false;
    }
    const struct filter_level *level = depth < size ? &o->meeting[depth] : NULL;
    bool dollar = depth == 0 && is_dollar(level->text);
    if ((n->multi & ACL_DENY) && !dollar) {
        return true;
    }
    if (level == NULL) {
        return n->ends & ACL_DENY;
    }
    if (level->kind == LEVEL_HASH) {
        return false; /* any number of levels: only '#' covers them */
    }
    if (!dollar && covered_below(o, n->plus, depth + 1, size)) {
        return true;
    }
    return level->kind == LEVEL_TEXT &&
           (covered_below(o, acl_find_child(o->acl, at, level->hash, level->text), depth + 1, size) || covered_by_variable(o, at, depth, size));
}

/* A client's own denials come before everything, those of patterns before patterns. What only the empty topic would match ('/#' meets '+') is nothing either. */
static bool
is_denied(const struct overlap *o, uint32_t size)
{
    bool empty = size == 1 && o->meeting[0].kind == LEVEL_TEXT && o->meeting[0].text.size == 0;
    return empty || covered_below(o, o->rights->list, 0, size) || (o->by_patterns && covered_below(o, ACL_PATTERNS, 0, size));
}

/* ------------------------------------------------------------------------------------------------------------------ grants */

static bool granted_below(struct overlap *o, uint32_t at, uint32_t depth);

static bool
is_open_end(const struct overlap *o, uint32_t depth)
{
    return depth + 1 >= o->count && o->filter[o->count - 1].kind == LEVEL_HASH;
}

/* A rule with '#' is met by all that is left of the filter; below the filter's own '#', by all that is left of the tree. */
static bool
granted_by_multi(struct overlap *o, uint32_t at, uint32_t depth)
{
    if ((o->acl->nodes[at].multi & ACL_READ) == 0 || (depth == 0 && is_dollar(o->filter[0].text))) {
        return false;
    }
    for (uint32_t i = depth; i < o->count; i++) {
        o->meeting[i] = o->filter[i];
    }
    bool below_end = depth >= o->count && is_open_end(o, depth);
    if (below_end) {
        o->meeting[depth] = (struct filter_level){.kind = LEVEL_HASH};
    }
    return !is_denied(o, below_end ? depth + 1 : o->count);
}

/* Goes on at a child with the level that both have in common. */
static bool
granted_through(struct overlap *o, uint32_t child, uint32_t depth, struct filter_level common)
{
    o->meeting[depth] = common;
    return granted_below(o, child, depth + 1);
}

static bool
granted_by_any_child(struct overlap *o, uint32_t at, uint32_t depth)
{
    const struct acl_node *n = &o->acl->nodes[at];
    static const struct filter_level plus = {.kind = LEVEL_PLUS};
    if (granted_through(o, n->plus, depth, plus)) {
        return true;
    }
    for (uint32_t c = n->first_child; c != ACL_NONE; c = o->acl->nodes[c].next_sibling) {
        const struct acl_node *child = &o->acl->nodes[c];
        struct filter_level common = {.kind = LEVEL_TEXT, .text = acl_node_text(o->acl, child), .hash = child->hash};
        if (!(depth == 0 && child_is_dollar(o, c)) && granted_through(o, c, depth, common)) {
            return true;
        }
    }
    return false;
}

static bool
granted_by_variable(struct overlap *o, uint32_t at, uint32_t depth, const struct filter_level *level)
{
    for (uint32_t i = o->acl->nodes[at].variables; i != 0; i = o->acl->variables[i].next) {
        const struct acl_variable *v = &o->acl->variables[i];
        if ((o->acl->nodes[v->child].below & ACL_READ) == 0) {
            continue;
        }
        bool text = level->kind == LEVEL_TEXT;
        bool dollar = depth == 0 && acl_variable_is_dollar(o->acl, v);
        if (depth == 0 && dollar != (text && is_dollar(level->text))) {
            continue;
        }
        bool fits = text ? acl_level_fits(o->acl, v, o->rights, o->subject, level->text) : acl_variable_is_bound(o->acl, v, o->rights, o->subject);
        /* Under a wildcard the level's text is what the variable stands for; taking it for '+' only makes denials cover less. */
        struct filter_level common = text ? *level : (struct filter_level){.kind = LEVEL_PLUS};
        if (fits && granted_through(o, v->child, depth, common)) {
            return true;
        }
    }
    return false;
}

static bool
granted_below(struct overlap *o, uint32_t at, uint32_t depth)
{
    const struct acl_node *n = &o->acl->nodes[at];
    if (o->nodes_left == 0) {
        return true;
    }
    o->nodes_left--;
    if ((n->below & ACL_READ) == 0) {
        return false;
    }
    if (granted_by_multi(o, at, depth)) {
        return true;
    }
    const struct filter_level *level = depth < o->count ? &o->filter[depth] : NULL;
    bool open_end = is_open_end(o, depth);
    if ((level == NULL || open_end) && (n->ends & ACL_READ) && !is_denied(o, depth)) {
        return true; /* 'a/#' matches 'a' too */
    }
    static const struct filter_level plus = {.kind = LEVEL_PLUS};
    if (open_end) {
        return granted_by_any_child(o, at, depth) || granted_by_variable(o, at, depth, &plus);
    }
    if (level == NULL) {
        return false;
    }
    if (level->kind == LEVEL_PLUS) {
        return granted_by_any_child(o, at, depth) || granted_by_variable(o, at, depth, level);
    }
    bool dollar = depth == 0 && is_dollar(level->text);
    return (!dollar && granted_through(o, n->plus, depth, *level)) || granted_by_variable(o, at, depth, level) ||
           granted_through(o, acl_find_child(o->acl, at, level->hash, level->text), depth, *level);
}

bool
acl_may_subscribe(const struct acl *acl, const struct acl_rights *rights, const struct acl_subject *subject, struct bytes filter)
{
    struct levels levels;
    levels_split(filter, &acl_levels_key, &levels);
    if (levels.count == 0) {
        return false;
    }
    struct overlap o = {.acl = acl, .rights = rights, .subject = subject, .nodes_left = OVERLAP_NODES_MAX};
    for (uint32_t i = 0; i < levels.count; i++) {
        o.filter[o.count++] = level_of(bytes_of(filter.data + levels.start[i], levels.size[i]), levels_hash_of(&levels, i));
    }
    if (granted_below(&o, rights->list, 0)) {
        return true;
    }
    o.by_patterns = true;
    return rights->patterns && granted_below(&o, ACL_PATTERNS, 0);
}
