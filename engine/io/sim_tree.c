#include "engine/io/sim_tree.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "engine/io/sim_common.h"

#define PATH_BYTES_MAX 4096u

/* One end of a change: a name in a directory. */
struct place {
    struct tree_node *directory; /* NULL: the change has no such end */
    char *name;
};

struct tree_change {
    struct tree_change *next;
    struct place from; /* the name goes */
    struct place to;   /* the name stands for the node now */
    struct tree_node *node;
    bool synced;
};

/* ------------------------------------------------------------------------------------------------------------- entries */

static char *
copy_name(const char *name)
{
    return strcpy(must(malloc(strlen(name) + 1)), name);
}

static struct tree_entry *
find_entry(const struct tree_entries *entries, const char *name)
{
    for (size_t i = 0; i < entries->count; i++) {
        if (strcmp(entries->all[i].name, name) == 0) {
            return &entries->all[i];
        }
    }
    return NULL;
}

static void
set_entry(struct tree_entries *entries, const char *name, struct tree_node *node)
{
    struct tree_entry *found = find_entry(entries, name);
    if (found != NULL) {
        found->node = node;
        return;
    }
    if (entries->count == entries->room) {
        entries->room = entries->room == 0 ? 8 : entries->room * 2;
        entries->all = must(realloc(entries->all, entries->room * sizeof *entries->all));
    }
    entries->all[entries->count++] = (struct tree_entry){.name = copy_name(name), .node = node};
}

static void
unset_entry(struct tree_entries *entries, const char *name)
{
    struct tree_entry *found = find_entry(entries, name);
    if (found != NULL) {
        free(found->name);
        *found = entries->all[--entries->count];
    }
}

static void
clear_entries(struct tree_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        free(entries->all[i].name);
    }
    free(entries->all);
    *entries = (struct tree_entries){0};
}

/* --------------------------------------------------------------------------------------------------------------- nodes */

static struct tree_node *
make_node(struct tree *tree, bool directory)
{
    struct tree_node *node = must(calloc(1, sizeof *node));
    node->directory = directory;
    node->next = tree->nodes;
    tree->nodes = node;
    return node;
}

static void
free_node(struct tree_node *node)
{
    clear_entries(&node->now);
    clear_entries(&node->stable);
    blocks_fini(&node->blocks);
    free(node);
}

void
tree_init(struct tree *tree)
{
    *tree = (struct tree){0};
    tree->root = make_node(tree, true);
}

static void
free_change(struct tree_change *change)
{
    free(change->from.name);
    free(change->to.name);
    free(change);
}

void
tree_fini(struct tree *tree)
{
    while (tree->first != NULL) {
        struct tree_change *change = tree->first;
        tree->first = change->next;
        free_change(change);
    }
    while (tree->nodes != NULL) {
        struct tree_node *node = tree->nodes;
        tree->nodes = node->next;
        free_node(node);
    }
    *tree = (struct tree){0};
}

static void
mark(struct tree_node *node)
{
    if (node == NULL || node->marked) {
        return;
    }
    node->marked = true;
    for (size_t i = 0; i < node->now.count; i++) {
        mark(node->now.all[i].node);
    }
    for (size_t i = 0; i < node->stable.count; i++) {
        mark(node->stable.all[i].node);
    }
}

/* Frees what nobody can reach any more. */
static void
sweep(struct tree *tree)
{
    mark(tree->root);
    for (const struct tree_change *c = tree->first; c != NULL; c = c->next) {
        mark(c->node);
        mark(c->from.directory);
        mark(c->to.directory);
    }
    for (struct tree_node **at = &tree->nodes; *at != NULL;) {
        struct tree_node *node = *at;
        if (!node->marked && node->held == 0) {
            *at = node->next;
            free_node(node);
        } else {
            node->marked = false;
            at = &node->next;
        }
    }
}

/* --------------------------------------------------------------------------------------------------------------- paths */

/* The directory that a path's last name is in, and that name ("": the path is the root's). NULL: not there. */
static struct tree_node *
find_parent(const struct tree *tree, const char *path, char name[PATH_BYTES_MAX])
{
    struct tree_node *at = tree->root;
    name[0] = '\0';
    while (*path != '\0') {
        size_t size = strcspn(path, "/");
        bool nothing = size == 0 || (size == 1 && path[0] == '.');
        if (!nothing && name[0] != '\0') {
            const struct tree_entry *entry = find_entry(&at->now, name);
            if (entry == NULL || !entry->node->directory) {
                return NULL;
            }
            at = entry->node;
        }
        if (!nothing) {
            assert(size < PATH_BYTES_MAX && !(size == 2 && memcmp(path, "..", 2) == 0));
            memcpy(name, path, size);
            name[size] = '\0';
        }
        path += size + (path[size] == '/');
    }
    return at;
}

struct tree_node *
tree_find(const struct tree *tree, const char *path)
{
    char name[PATH_BYTES_MAX];
    struct tree_node *parent = find_parent(tree, path, name);
    if (parent == NULL || name[0] == '\0') {
        return parent;
    }
    const struct tree_entry *entry = find_entry(&parent->now, name);
    return entry == NULL ? NULL : entry->node;
}

/* ------------------------------------------------------------------------------------------------------------- changes */

static struct place
make_place(struct tree_node *directory, const char *name)
{
    return (struct place){.directory = directory, .name = directory == NULL ? NULL : copy_name(name)};
}

static void
apply(const struct tree_change *change, bool stable)
{
    if (change->from.directory != NULL) {
        unset_entry(stable ? &change->from.directory->stable : &change->from.directory->now, change->from.name);
    }
    if (change->to.directory != NULL) {
        set_entry(stable ? &change->to.directory->stable : &change->to.directory->now, change->to.name, change->node);
    }
}

static void
add_change(struct tree *tree, struct place from, struct place to, struct tree_node *node)
{
    struct tree_change *change = must(calloc(1, sizeof *change));
    *change = (struct tree_change){.from = from, .to = to, .node = node};
    if (tree->last != NULL) {
        tree->last->next = change;
    } else {
        tree->first = change;
    }
    tree->last = change;
    apply(change, false);
}

int
tree_create(struct tree *tree, const char *path, bool directory, struct tree_node **out)
{
    char name[PATH_BYTES_MAX];
    struct tree_node *parent = find_parent(tree, path, name);
    if (parent == NULL) {
        return -ENOENT;
    }
    if (name[0] == '\0' || find_entry(&parent->now, name) != NULL) {
        return -EEXIST;
    }
    *out = make_node(tree, directory);
    add_change(tree, make_place(NULL, NULL), make_place(parent, name), *out);
    return 0;
}

/* Whether `node` may be put in the place of `old`. */
static int
check_replacement(const struct tree_node *node, const struct tree_node *old)
{
    if (node->directory != old->directory) {
        return old->directory ? -EISDIR : -ENOTDIR;
    }
    return old->directory && old->now.count > 0 ? -ENOTEMPTY : 0;
}

int
tree_rename(struct tree *tree, const char *from, const char *to)
{
    char from_name[PATH_BYTES_MAX], to_name[PATH_BYTES_MAX];
    struct tree_node *from_parent = find_parent(tree, from, from_name);
    struct tree_node *to_parent = find_parent(tree, to, to_name);
    struct tree_node *node = tree_find(tree, from);
    if (node == NULL || to_parent == NULL) {
        return -ENOENT;
    }
    if (from_name[0] == '\0' || to_name[0] == '\0') {
        return -EBUSY;
    }
    const struct tree_node *old = tree_find(tree, to);
    int result = old == NULL || old == node ? 0 : check_replacement(node, old);
    if (result == 0 && old != node) {
        add_change(tree, make_place(from_parent, from_name), make_place(to_parent, to_name), node);
    }
    return result;
}

int
tree_remove(struct tree *tree, const char *path)
{
    char name[PATH_BYTES_MAX];
    struct tree_node *parent = find_parent(tree, path, name);
    const struct tree_entry *entry = parent == NULL ? NULL : find_entry(&parent->now, name);
    if (entry == NULL) {
        return parent != NULL && name[0] == '\0' ? -EBUSY : -ENOENT;
    }
    if (entry->node->directory && entry->node->now.count > 0) {
        return -ENOTEMPTY;
    }
    add_change(tree, make_place(parent, name), make_place(NULL, NULL), NULL);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------ sync and crash */

static bool
touches(const struct tree_change *change, const struct tree_node *directory)
{
    return directory != NULL && (change->from.directory == directory || change->to.directory == directory);
}

/* Whether a later change that is to be on the disk needs this one to be there first. */
static bool
is_needed(const struct tree_change *change)
{
    for (const struct tree_change *later = change->next; later != NULL; later = later->next) {
        if (later->synced && (touches(later, change->from.directory) || touches(later, change->to.directory))) {
            return true;
        }
    }
    return false;
}

static void
mark_synced(struct tree *tree, const struct tree_node *directory)
{
    for (struct tree_change *c = tree->first; c != NULL; c = c->next) {
        c->synced = touches(c, directory);
    }
    for (bool more = true; more;) {
        more = false;
        for (struct tree_change *c = tree->first; c != NULL; c = c->next) {
            bool needed = !c->synced && is_needed(c);
            c->synced |= needed;
            more |= needed;
        }
    }
}

int
tree_sync(struct tree *tree, const char *path)
{
    const struct tree_node *directory = tree_find(tree, path);
    if (directory == NULL || !directory->directory) {
        return directory == NULL ? -ENOENT : -ENOTDIR;
    }
    mark_synced(tree, directory);
    struct tree_change *last = NULL;
    for (struct tree_change **at = &tree->first; *at != NULL;) {
        struct tree_change *change = *at;
        if (change->synced) {
            apply(change, true);
            *at = change->next;
            free_change(change);
        } else {
            last = change;
            at = &change->next;
        }
    }
    tree->last = last;
    sweep(tree);
    return 0;
}

static void
restore_entries(struct tree_node *directory)
{
    clear_entries(&directory->now);
    for (size_t i = 0; i < directory->stable.count; i++) {
        set_entry(&directory->now, directory->stable.all[i].name, directory->stable.all[i].node);
    }
}

void
tree_crash(struct tree *tree, struct rng *rng)
{
    while (tree->first != NULL) {
        struct tree_change *change = tree->first;
        tree->first = change->next;
        if (rng_below(rng, 2) == 0) {
            apply(change, true);
        }
        free_change(change);
    }
    tree->last = NULL;
    for (struct tree_node *node = tree->nodes; node != NULL; node = node->next) {
        restore_entries(node);
        blocks_crash(&node->blocks, rng);
        node->locked_by = NULL;
    }
    sweep(tree);
}

static void
each_below(const struct tree_node *directory, char path[PATH_BYTES_MAX], size_t size, void (*each)(void *context, const char *path, struct tree_node *file),
           void *context)
{
    for (size_t i = 0; i < directory->now.count; i++) {
        const struct tree_entry *entry = &directory->now.all[i];
        size_t name_size = strlen(entry->name);
        assert(size + 1 + name_size < PATH_BYTES_MAX);
        path[size] = '/';
        memcpy(path + size + 1, entry->name, name_size + 1);
        if (entry->node->directory) {
            each_below(entry->node, path, size + 1 + name_size, each, context);
        } else {
            each(context, path, entry->node);
        }
    }
}

void
tree_each(const struct tree *tree, void (*each)(void *context, const char *path, struct tree_node *file), void *context)
{
    char path[PATH_BYTES_MAX];
    each_below(tree->root, path, 0, each, context);
}
