/*
 * acl_tree: the trees of rules behind engine/access/acl.h, and how they are built. Internal to acl*.c.
 *
 * Nodes are numbered; 0 is none, which has no rules and no children, so that nobody needs to ask whether there is a child. Literal children are found in one hash
 * table for all nodes, by the hash of node and level; equal texts are compared, so a collision costs time only.
 *
 * Invariants
 *   N1  `below` is all that is granted or denied at the node and under it; `literals` the part of it that is under its literal children.
 *   N2  a child has a higher number than its parent.
 *   N3  every literal child is in the table, and in the list of its parent.
 */
#ifndef TIDEWIRE_ENGINE_ACCESS_ACL_TREE_H
#define TIDEWIRE_ENGINE_ACCESS_ACL_TREE_H

#include "engine/access/acl.h"

/* Beside ACL_READ and ACL_WRITE. */
#define ACL_DENY 4u

/* The first nodes. */
enum acl_root {
    ACL_NONE,
    ACL_ANONYMOUS, /* the list of clients without a user name */
    ACL_PATTERNS,
    ACL_USERS,     /* its children are the users' lists, by name */
    ACL_ROOTS,
};

#define ACL_TEXT_INLINE 28u

/* One cache line. */
struct acl_node {
    uint64_t hash;          /* of its level, at its depth */
    uint32_t parent;
    uint32_t plus;          /* child for '+' */
    uint32_t variables;     /* first of the children whose level holds variables; index, 0: none */
    uint32_t first_child;   /* literal ones */
    uint32_t next_sibling;
    uint16_t text_size;
    uint8_t ends;           /* rules that end here */
    uint8_t multi;          /* rules that end with '#' after this level */
    uint8_t below;
    uint8_t literals;
    union {
        uint8_t bytes[ACL_TEXT_INLINE];
        uint32_t at;        /* in `text`, if larger */
    } text;
};

enum acl_piece_kind {
    ACL_PIECE_TEXT,
    ACL_PIECE_CLIENT_ID,
    ACL_PIECE_USER,
    ACL_PIECE_CLAIM,
};

struct acl_piece {
    enum acl_piece_kind kind;
    uint32_t at, size;      /* of the text, or of the claim's name */
};

/* A child whose level is made of pieces. */
struct acl_variable {
    uint32_t next;
    uint32_t child;
    uint32_t at, size;      /* the level as written */
    uint32_t first_piece, piece_count;
};

/* Most of what is looked for and not there is known by the tag, without a look at a node. */
struct acl_entry {
    uint32_t tag;
    uint32_t child;         /* 0: free */
};

struct acl {
    struct acl_node *nodes;
    struct acl_variable *variables;  /* the first is none */
    struct acl_piece *pieces;
    uint8_t *text;
    struct acl_entry *table;         /* literal children, by hash */
    uint32_t table_room;             /* a power of two, at least twice table_used */
    uint32_t table_used;
    uint32_t node_count, node_room;
    uint32_t variable_count, variable_room;
    uint32_t piece_count, piece_room;
    uint32_t text_used, text_room;
};

enum acl_answer {
    ACL_DONE,
    ACL_NO_MEMORY,
    ACL_BAD_CLAIM,  /* %{ without a name and a '}' */
};

struct acl *acl_new(void);
/* The list of a user, made if need be; 0: out of memory. */
uint32_t acl_need_user(struct acl *acl, struct bytes user);
/* `rule`: ACL_READ, ACL_WRITE, both, or ACL_DENY. The filter is valid. `pattern`: it may hold variables. */
enum acl_answer acl_add_rule(struct acl *acl, uint32_t list, struct bytes filter, bool pattern, uint8_t rule);

extern const struct levels_key acl_levels_key;

static inline struct bytes
acl_node_text(const struct acl *acl, const struct acl_node *n)
{
    return bytes_of(n->text_size <= ACL_TEXT_INLINE ? n->text.bytes : acl->text + n->text.at, n->text_size);
}

/* The literal child for a level with this hash; 0: none. */
uint32_t acl_find_child(const struct acl *acl, uint32_t node, uint64_t hash, struct bytes level);
uint64_t acl_hash_user(struct bytes user);

/* Whether it may stand for a variable: not empty, no wildcard, no '/', no control characters (U+0000 to U+001F, U+007F to U+009F). */
bool acl_value_is_plain(struct bytes value);
/* Whether a level of a topic is what the pieces make for this subject. */
bool acl_level_fits(const struct acl *acl, const struct acl_variable *v, const struct acl_rights *rights, const struct acl_subject *subject, struct bytes level);
/* Whether the pieces make anything for this subject. */
bool acl_variable_is_bound(const struct acl *acl, const struct acl_variable *v, const struct acl_rights *rights, const struct acl_subject *subject);
/* Whether the first character of the level is a '$'. */
bool acl_variable_is_dollar(const struct acl *acl, const struct acl_variable *v);

#endif
