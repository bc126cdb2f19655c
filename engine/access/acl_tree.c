#define XXH_INLINE_ALL
#include "engine/access/acl_tree.h"

#include "router/same.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

static_assert(sizeof(struct acl_node) == 64, "one cache line per level of a question");

/*
 * Not secret: the table is made of what the operator wrote and never changes, and texts are compared. So whoever chooses topics whose hashes collide meets one other
 * entry, not many.
 */
const struct levels_key acl_levels_key = {0x9ae16a3b2f90404f, 0xc949d7c7509e6557, 0xff51afd7ed558ccd, 0xb492b66fbe98f273};

/* ------------------------------------------------------------------------------------------------------------------ memory */

/* Room for `more` items in an array that doubles. The array lies on cache lines if its items do. */
static bool
make_room(void **array, uint32_t used, uint32_t *room, uint32_t more, size_t item_size)
{
    if (more <= *room - used) {
        return true;
    }
    uint64_t wanted = *room > 0 ? *room : 64;
    while (wanted < (uint64_t)used + more) {
        wanted *= 2;
    }
    if (wanted > UINT32_MAX / 2) {
        return false;
    }
    void *grown = aligned_alloc(64, (wanted * item_size + 63) / 64 * 64);
    if (grown == NULL) {
        return false;
    }
    if (used > 0) {
        memcpy(grown, *array, used * item_size);
    }
    free(*array);
    *array = grown;
    *room = (uint32_t)wanted;
    return true;
}

#define MAKE_ROOM(acl, items, item, more) \
    make_room((void **)&(acl)->items, (acl)->item##_count, &(acl)->item##_room, (more), sizeof *(acl)->items)

static bool
keep_text(struct acl *acl, struct bytes text, uint32_t *at)
{
    if (!make_room((void **)&acl->text, acl->text_used, &acl->text_room, text.size, 1)) {
        return false;
    }
    memcpy(acl->text + acl->text_used, text.data, text.size);
    *at = acl->text_used;
    acl->text_used += text.size;
    return true;
}

struct acl *
acl_new(void)
{
    struct acl *acl = calloc(1, sizeof *acl);
    if (acl == NULL || !MAKE_ROOM(acl, nodes, node, ACL_ROOTS) || !MAKE_ROOM(acl, variables, variable, 1)) {
        acl_free(&acl);
        return NULL;
    }
    memset(acl->nodes, 0, ACL_ROOTS * sizeof *acl->nodes);
    acl->node_count = ACL_ROOTS;
    memset(acl->variables, 0, sizeof *acl->variables);
    acl->variable_count = 1;
    return acl;
}

void
acl_free(struct acl **aclp)
{
    struct acl *acl = *aclp;
    *aclp = NULL;
    if (acl == NULL) {
        return;
    }
    free(acl->nodes);
    free(acl->variables);
    free(acl->pieces);
    free(acl->text);
    free(acl->table);
    free(acl);
}

/* ---------------------------------------------------------------------------------------------------------- literal children */

/* The high half is the place in the table, the low one the tag. */
static uint64_t
mix(uint32_t node, uint64_t hash)
{
    return (hash + node * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd6e8feb86659fd93);
}

uint32_t
acl_find_child(const struct acl *acl, uint32_t node, uint64_t hash, struct bytes level)
{
    if (acl->table_room == 0) {
        return ACL_NONE;
    }
    uint32_t mask = acl->table_room - 1;
    uint64_t mixed = mix(node, hash);
    for (uint32_t i = (uint32_t)(mixed >> 32) & mask;; i = (i + 1) & mask) {
        const struct acl_entry *e = &acl->table[i];
        if (e->child == ACL_NONE) {
            return ACL_NONE;
        }
        const struct acl_node *n = &acl->nodes[e->child];
        if (e->tag == (uint32_t)mixed && n->parent == node && n->text_size == level.size && same_bytes(acl_node_text(acl, n).data, level.data, level.size)) {
            return e->child;
        }
    }
}

static void
put_in_table(struct acl *acl, uint32_t child)
{
    const struct acl_node *n = &acl->nodes[child];
    uint64_t mixed = mix(n->parent, n->hash);
    uint32_t i = (uint32_t)(mixed >> 32) & (acl->table_room - 1);
    while (acl->table[i].child != ACL_NONE) {
        i = (i + 1) & (acl->table_room - 1);
    }
    acl->table[i] = (struct acl_entry){.tag = (uint32_t)mixed, .child = child};
}

static bool
grow_table(struct acl *acl)
{
    struct acl_entry *old = acl->table;
    uint32_t old_room = acl->table_room;
    uint32_t room = old_room > 0 ? old_room * 2 : 64;
    struct acl_entry *table = calloc(room, sizeof *table);
    if (table == NULL) {
        return false;
    }
    acl->table = table;
    acl->table_room = room;
    for (uint32_t i = 0; i < old_room; i++) {
        if (old[i].child != ACL_NONE) {
            put_in_table(acl, old[i].child);
        }
    }
    free(old);
    return true;
}

static uint32_t
new_node(struct acl *acl, uint32_t parent, uint64_t hash)
{
    if (!MAKE_ROOM(acl, nodes, node, 1)) {
        return ACL_NONE;
    }
    acl->nodes[acl->node_count] = (struct acl_node){.parent = parent, .hash = hash};
    return acl->node_count++;
}

static bool
name_node(struct acl *acl, uint32_t node, struct bytes text)
{
    struct acl_node *n = &acl->nodes[node];
    n->text_size = (uint16_t)text.size;
    if (text.size > ACL_TEXT_INLINE) {
        return keep_text(acl, text, &n->text.at);
    }
    memcpy(n->text.bytes, text.data, text.size);
    return true;
}

static uint32_t
need_child(struct acl *acl, uint32_t parent, uint64_t hash, struct bytes text)
{
    uint32_t child = acl_find_child(acl, parent, hash, text);
    if (child != ACL_NONE) {
        return child;
    }
    if ((acl->table_used + 1) * 2 > acl->table_room && !grow_table(acl)) {
        return ACL_NONE;
    }
    child = new_node(acl, parent, hash);
    if (child == ACL_NONE || !name_node(acl, child, text)) {
        return ACL_NONE;
    }
    acl->nodes[child].next_sibling = acl->nodes[parent].first_child;
    acl->nodes[parent].first_child = child;
    put_in_table(acl, child);
    acl->table_used++;
    return child;
}

uint64_t
acl_hash_user(struct bytes user)
{
    return XXH3_64bits(user.data, user.size);
}

uint32_t
acl_need_user(struct acl *acl, struct bytes user)
{
    return need_child(acl, ACL_USERS, acl_hash_user(user), user);
}

static uint32_t
need_plus(struct acl *acl, uint32_t parent)
{
    if (acl->nodes[parent].plus == ACL_NONE) {
        uint32_t child = new_node(acl, parent, 0);
        acl->nodes[parent].plus = child;
    }
    return acl->nodes[parent].plus;
}

/* --------------------------------------------------------------------------------------------------------------- variables */

/* The size of the variable at the start of `text`, 0 if there is none; one that is cut off goes to the end and is ACL_PIECE_TEXT. */
static uint32_t
scan_variable(struct bytes text, enum acl_piece_kind *kind)
{
    if (text.size < 2 || text.data[0] != '%') {
        return 0;
    }
    switch (text.data[1]) {
    case 'c': *kind = ACL_PIECE_CLIENT_ID; return 2;
    case 'u': *kind = ACL_PIECE_USER; return 2;
    case '{': break;
    default: return 0;
    }
    const uint8_t *end = memchr(text.data, '}', text.size);
    bool has_name = end != NULL && end > text.data + 2;
    *kind = has_name ? ACL_PIECE_CLAIM : ACL_PIECE_TEXT;
    return has_name ? (uint32_t)(end + 1 - text.data) : text.size;
}

static bool
has_variable(struct bytes level)
{
    enum acl_piece_kind kind;
    for (uint32_t i = 0; i < level.size; i++) {
        if (scan_variable(bytes_of(level.data + i, level.size - i), &kind) > 0) {
            return true;
        }
    }
    return false;
}

static bool
add_piece(struct acl *acl, enum acl_piece_kind kind, uint32_t at, uint32_t size)
{
    if (!MAKE_ROOM(acl, pieces, piece, 1)) {
        return false;
    }
    acl->pieces[acl->piece_count++] = (struct acl_piece){.kind = kind, .at = at, .size = size};
    return true;
}

/* Cuts the level, which is kept at `at`, into pieces. */
static enum acl_answer
add_pieces(struct acl *acl, struct bytes level, uint32_t at)
{
    uint32_t literal = 0; /* where the text before the next variable starts */
    for (uint32_t i = 0; i < level.size;) {
        enum acl_piece_kind kind;
        uint32_t size = scan_variable(bytes_of(level.data + i, level.size - i), &kind);
        if (size == 0) {
            i++;
            continue;
        }
        if (kind == ACL_PIECE_TEXT) {
            return ACL_BAD_CLAIM;
        }
        uint32_t skip = kind == ACL_PIECE_CLAIM ? 2 : 0;
        if ((i > literal && !add_piece(acl, ACL_PIECE_TEXT, at + literal, i - literal)) || !add_piece(acl, kind, at + i + skip, size - skip - (skip > 0))) {
            return ACL_NO_MEMORY;
        }
        literal = i += size;
    }
    return level.size == literal || add_piece(acl, ACL_PIECE_TEXT, at + literal, level.size - literal) ? ACL_DONE : ACL_NO_MEMORY;
}

static enum acl_answer
need_variable(struct acl *acl, uint32_t parent, struct bytes level, uint32_t *child)
{
    for (uint32_t i = acl->nodes[parent].variables; i != 0; i = acl->variables[i].next) {
        const struct acl_variable *v = &acl->variables[i];
        if (bytes_equal(bytes_of(acl->text + v->at, v->size), level)) {
            *child = v->child;
            return ACL_DONE;
        }
    }
    struct acl_variable v = {.next = acl->nodes[parent].variables, .size = level.size, .first_piece = acl->piece_count};
    if (!MAKE_ROOM(acl, variables, variable, 1) || !keep_text(acl, level, &v.at)) {
        return ACL_NO_MEMORY;
    }
    enum acl_answer answer = add_pieces(acl, level, v.at);
    if (answer != ACL_DONE) {
        return answer;
    }
    v.piece_count = acl->piece_count - v.first_piece;
    *child = v.child = new_node(acl, parent, 0);
    acl->nodes[parent].variables = acl->variable_count;
    acl->variables[acl->variable_count++] = v;
    return ACL_DONE;
}

bool
acl_value_is_plain(struct bytes value)
{
    for (uint32_t i = 0; i < value.size; i++) {
        uint8_t c = value.data[i];
        bool high_control = c == 0xc2 && i + 1 < value.size && value.data[i + 1] < 0xa0;
        if (c < 0x20 || c == 0x7f || c == '+' || c == '#' || c == '/' || high_control) {
            return false;
        }
    }
    return value.size > 0;
}

static struct bytes
claim_of(const struct acl_subject *subject, struct bytes name)
{
    for (uint32_t i = 0; i < subject->claim_count; i++) {
        if (bytes_equal(subject->claims[i].name, name)) {
            return acl_value_is_plain(subject->claims[i].value) ? subject->claims[i].value : bytes_of(NULL, 0);
        }
    }
    return bytes_of(NULL, 0);
}

/* What a piece is for this subject; empty: nothing that could match. */
static struct bytes
value_of(const struct acl *acl, const struct acl_piece *piece, const struct acl_rights *rights, const struct acl_subject *subject)
{
    struct bytes own = bytes_of(acl->text + piece->at, piece->size);
    switch (piece->kind) {
    case ACL_PIECE_CLIENT_ID: return rights->client_id_fits ? subject->client_id : bytes_of(NULL, 0);
    case ACL_PIECE_USER: return rights->user_fits ? subject->user : bytes_of(NULL, 0);
    case ACL_PIECE_CLAIM: return claim_of(subject, own);
    default: return own;
    }
}

bool
acl_level_fits(const struct acl *acl, const struct acl_variable *v, const struct acl_rights *rights, const struct acl_subject *subject, struct bytes level)
{
    for (uint32_t i = 0; i < v->piece_count; i++) {
        struct bytes value = value_of(acl, &acl->pieces[v->first_piece + i], rights, subject);
        if (value.size == 0 || value.size > level.size || !same_bytes(level.data, value.data, value.size)) {
            return false;
        }
        level = bytes_of(level.data + value.size, level.size - value.size);
    }
    return level.size == 0;
}

bool
acl_variable_is_bound(const struct acl *acl, const struct acl_variable *v, const struct acl_rights *rights, const struct acl_subject *subject)
{
    for (uint32_t i = 0; i < v->piece_count; i++) {
        if (value_of(acl, &acl->pieces[v->first_piece + i], rights, subject).size == 0) {
            return false;
        }
    }
    return true;
}

bool
acl_variable_is_dollar(const struct acl *acl, const struct acl_variable *v)
{
    return acl->text[v->at] == '$';
}

/* -------------------------------------------------------------------------------------------------------------------- rules */

enum acl_answer
acl_add_rule(struct acl *acl, uint32_t list, struct bytes filter, bool pattern, uint8_t rule)
{
    struct levels levels;
    levels_split(filter, &acl_levels_key, &levels);
    assert(levels.count > 0);
    uint32_t at = list;
    acl->nodes[at].below |= rule;
    for (uint32_t i = 0; i < levels.count; i++) {
        struct bytes level = bytes_of(filter.data + levels.start[i], levels.size[i]);
        if (level.size == 1 && level.data[0] == '#') {
            acl->nodes[at].multi |= rule;
            return ACL_DONE;
        }
        uint32_t child;
        bool literal = false;
        if (pattern && has_variable(level)) {
            enum acl_answer answer = need_variable(acl, at, level, &child);
            if (answer != ACL_DONE) {
                return answer;
            }
        } else {
            literal = !(level.size == 1 && level.data[0] == '+');
            child = literal ? need_child(acl, at, levels_hash_of(&levels, i), level) : need_plus(acl, at);
        }
        if (child == ACL_NONE) {
            return ACL_NO_MEMORY;
        }
        acl->nodes[at].literals |= literal ? rule : 0;
        acl->nodes[child].below |= rule;
        at = child;
    }
    acl->nodes[at].ends |= rule;
    return ACL_DONE;
}
