/*
 * sim_tree: the names of the simulated disk: directories and files, as they are seen, and as a loss of power would leave them.
 *
 *      tree_create, tree_rename, tree_remove ──► [change: seen, may be lost] ──tree_sync of its directory──► [on the disk]
 *
 * A change happens as a whole or not at all, and each one independently of the others. What a change says of two directories is on the disk with the sync of either; so is then
 * everything that was changed in them before.
 *
 * A path starts at the root, with a slash or without. A file or directory lasts while a name, now or on the disk, or a holder has it.
 */
#ifndef TIDEWIRE_ENGINE_IO_SIM_TREE_H
#define TIDEWIRE_ENGINE_IO_SIM_TREE_H

#include "engine/io/sim_blocks.h"

struct tree_entry {
    char *name;
    struct tree_node *node;
};

struct tree_entries {
    struct tree_entry *all;
    size_t count, room;
};

struct tree_node {
    struct tree_node *next; /* of all */
    bool directory;
    bool marked;
    unsigned held;               /* by open files */
    const void *locked_by;       /* of a directory */
    struct tree_entries now, stable; /* of a directory */
    struct blocks blocks;        /* of a file */
};

struct tree_change;

struct tree {
    struct tree_node *root, *nodes;
    struct tree_change *first, *last; /* not on the disk yet, in order */
};

void tree_init(struct tree *tree);
void tree_fini(struct tree *tree);

/* NULL: there is none. */
struct tree_node *tree_find(const struct tree *tree, const char *path);
/* Something new and empty at a path that is free. 0 or -errno. */
int tree_create(struct tree *tree, const char *path, bool directory, struct tree_node **out);
int tree_rename(struct tree *tree, const char *from, const char *to);
int tree_remove(struct tree *tree, const char *path);
int tree_sync(struct tree *tree, const char *path);
/* Power is lost: for names, and in files. */
void tree_crash(struct tree *tree, struct rng *rng);

/* Shows every file that has a name now. */
void tree_each(const struct tree *tree, void (*each)(void *context, const char *path, struct tree_node *file), void *context);

#endif
