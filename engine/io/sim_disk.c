#include "engine/io/sim_disk.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "engine/io/sim_common.h"
#include "engine/io/sim_disk_user.h"
#include "engine/io/sim_tree.h"

#define LATENCY_MIN_NS 50000u
#define LATENCY_MAX_NS 200000u

struct sim_disk {
    struct rng rng;
    struct tree tree;
    uint64_t space;
    uint32_t failures[SIM_DISK_OPERATIONS];
    uint64_t calls_to_crash; /* the last of them is not made; 0: no crash is planned */
    uint64_t latency_min_ns, latency_max_ns;
    uint64_t incarnation; /* rises with each crash: who came before it is dead (D3) */
    uint64_t now_ns;
    struct sim_disk_user *users;
};

struct io_file {
    struct sim_disk *disk;
    uint64_t incarnation;
    struct tree_node *node;
    bool aligned;
};

/* A request: waiting ──apply_ns──► applied ──done_ns──► done, and told. */
struct operation {
    struct sim_disk_request request;
    uint64_t apply_ns, done_ns;
    uint64_t fingerprint; /* D4 */
    uint64_t write;       /* number of the write; of a flush: of the last one that it is for */
    int32_t result;
    bool applied;
};

struct sim_disk_user {
    struct sim_disk_user *next;
    struct sim_disk *disk;
    uint64_t incarnation;
    bool owns_disk;
    struct operation *operations;
    size_t count, room;
};

static struct sim_disk *next_disk;

/* ---------------------------------------------------------------------------------------------------------- the disk */

struct sim_disk *
sim_disk_make(uint64_t seed)
{
    struct sim_disk *disk = must(calloc(1, sizeof *disk));
    rng_init(&disk->rng, seed);
    tree_init(&disk->tree);
    disk->space = UINT64_MAX;
    disk->latency_min_ns = LATENCY_MIN_NS;
    disk->latency_max_ns = LATENCY_MAX_NS;
    return disk;
}

void
sim_disk_free(struct sim_disk **diskp)
{
    struct sim_disk *disk = *diskp;
    *diskp = NULL;
    if (disk != NULL) {
        assert(disk->users == NULL);
        next_disk = next_disk == disk ? NULL : next_disk;
        tree_fini(&disk->tree);
        free(disk);
    }
}

void
sim_set_disk(struct sim_disk *disk)
{
    next_disk = disk;
}

void
sim_disk_set_latency(struct sim_disk *disk, uint64_t min_ns, uint64_t max_ns)
{
    assert(min_ns <= max_ns);
    disk->latency_min_ns = min_ns;
    disk->latency_max_ns = max_ns;
}

void
sim_disk_set_space(struct sim_disk *disk, uint64_t bytes)
{
    disk->space = bytes;
}

static void
add_size(void *context, const char *path, struct tree_node *file)
{
    (void)path;
    *(uint64_t *)context += file->blocks.size;
}

uint64_t
sim_disk_bytes(const struct sim_disk *disk)
{
    uint64_t sum = 0;
    tree_each(&disk->tree, add_size, &sum);
    return sum;
}

void
sim_disk_fail(struct sim_disk *disk, enum sim_disk_operation operation, uint32_t count)
{
    disk->failures[operation] = count;
}

static bool
fails(struct sim_disk *disk, enum sim_disk_operation operation)
{
    bool now = disk->failures[operation] > 0;
    disk->failures[operation] -= now;
    return now;
}

struct flip {
    struct sim_disk *disk;
    uint64_t at;
    bool done;
};

static void
flip_in_file(void *context, const char *path, struct tree_node *file)
{
    (void)path;
    struct flip *flip = context;
    if (!flip->done && flip->at < file->blocks.size) {
        blocks_flip(&file->blocks, &flip->disk->rng);
        flip->done = true;
    }
    flip->at -= file->blocks.size;
}

void
sim_disk_flip(struct sim_disk *disk, uint32_t count)
{
    uint64_t bytes = sim_disk_bytes(disk);
    for (uint32_t i = 0; bytes > 0 && i < count; i++) {
        struct flip flip = {.disk = disk, .at = rng_below(&disk->rng, bytes)};
        tree_each(&disk->tree, flip_in_file, &flip);
    }
}

struct listing {
    void (*each)(void *context, const char *path, uint64_t size);
    void *context;
};

static void
list_file(void *context, const char *path, struct tree_node *file)
{
    const struct listing *listing = context;
    listing->each(listing->context, path, file->blocks.size);
}

void
sim_disk_list(const struct sim_disk *disk, void (*each)(void *context, const char *path, uint64_t size), void *context)
{
    struct listing listing = {.each = each, .context = context};
    tree_each(&disk->tree, list_file, &listing);
}

int64_t
sim_disk_read_file(const struct sim_disk *disk, const char *path, void *out, size_t room)
{
    const struct tree_node *node = tree_find(&disk->tree, path);
    if (node == NULL || node->directory) {
        return -ENOENT;
    }
    blocks_read(&node->blocks, 0, out, room);
    return (int64_t)node->blocks.size;
}

/* Directories of the first `size` bytes of a path, and their names on the disk. */
static void
make_way(struct sim_disk *disk, const char *path, size_t size)
{
    char *part = must(calloc(1, size + 1));
    for (size_t i = 0; i <= size; i++) {
        bool whole = i == size || path[i] == '/';
        struct tree_node *made;
        if (whole && i > 0 && tree_find(&disk->tree, part) == NULL) {
            int result = tree_create(&disk->tree, part, true, &made);
            assert(result == 0);
        }
        char *slash = strrchr(part, '/');
        if (whole && i > 0) {
            char *above = must(calloc(1, i + 1));
            memcpy(above, part, slash == NULL ? 0 : (size_t)(slash - part));
            tree_sync(&disk->tree, above);
            free(above);
        }
        part[i] = i < size ? path[i] : '\0';
    }
    free(part);
}

void
sim_disk_make_directory(struct sim_disk *disk, const char *path)
{
    make_way(disk, path, strlen(path));
}

void
sim_disk_write_file(struct sim_disk *disk, const char *path, const void *bytes, size_t size)
{
    const char *slash = strrchr(path, '/');
    size_t above = slash == NULL ? 0 : (size_t)(slash - path);
    make_way(disk, path, above);
    struct tree_node *node = tree_find(&disk->tree, path);
    if (node == NULL) {
        int result = tree_create(&disk->tree, path, false, &node);
        assert(result == 0);
    }
    blocks_fini(&node->blocks);
    blocks_settle(&node->blocks, blocks_write(&node->blocks, 0, bytes, size, false));
    char *directory = must(calloc(1, above + 1));
    memcpy(directory, path, above);
    tree_sync(&disk->tree, directory);
    free(directory);
}

/* ----------------------------------------------------------------------------------------------------- one world's hold */

struct sim_disk_user *
sim_disk_attach(uint64_t seed)
{
    struct sim_disk_user *user = must(calloc(1, sizeof *user));
    user->owns_disk = next_disk == NULL;
    user->disk = user->owns_disk ? sim_disk_make(seed) : next_disk;
    next_disk = NULL;
    user->incarnation = user->disk->incarnation;
    user->next = user->disk->users;
    user->disk->users = user;
    return user;
}

static void
unlock_all(struct sim_disk *disk, const struct sim_disk_user *user)
{
    for (struct tree_node *node = disk->tree.nodes; node != NULL; node = node->next) {
        node->locked_by = node->locked_by == user ? NULL : node->locked_by;
    }
}

void
sim_disk_detach(struct sim_disk_user **userp)
{
    struct sim_disk_user *user = *userp;
    *userp = NULL;
    struct sim_disk *disk = user->disk;
    unlock_all(disk, user);
    struct sim_disk_user **at = &disk->users;
    while (*at != user) {
        at = &(*at)->next;
    }
    *at = user->next;
    if (user->owns_disk) {
        sim_disk_free(&disk);
    }
    free(user->operations);
    free(user);
}

uint64_t
sim_disk_clock_ns(const struct sim_disk_user *user)
{
    return user->disk->now_ns;
}

static bool
is_alive(const struct sim_disk_user *user)
{
    return user->incarnation == user->disk->incarnation;
}

/* --------------------------------------------------------------------------------------------------------------- names */

/* A blocking call begins. */
static bool
power_fails(struct sim_disk *disk)
{
    if (disk->calls_to_crash == 0 || --disk->calls_to_crash > 0) {
        return false;
    }
    sim_disk_crash(disk);
    return true;
}

/* -EIO if the user is dead, or such an operation is to fail. */
static int
check(struct sim_disk_user *user, enum sim_disk_operation operation)
{
    return !is_alive(user) || power_fails(user->disk) || fails(user->disk, operation) ? -EIO : 0;
}

int
io_file_open(struct io_set *set, const char *path, unsigned flags, struct io_file **out)
{
    struct sim_disk_user *user = sim_disk_user_of(set);
    int result = check(user, SIM_DISK_NAME);
    if (result < 0) {
        return result;
    }
    struct tree_node *node = tree_find(&user->disk->tree, path);
    if (node == NULL) {
        result = (flags & IO_FILE_CREATE) != 0 ? tree_create(&user->disk->tree, path, false, &node) : -ENOENT;
    } else if (node->directory) {
        result = -EISDIR;
    }
    if (result < 0) {
        return result;
    }
    node->held++;
    *out = must(malloc(sizeof **out));
    **out = (struct io_file){.disk = user->disk, .incarnation = user->incarnation, .node = node, .aligned = (flags & IO_FILE_DIRECT) != 0};
    return 0;
}

void
io_file_close(struct io_file **file)
{
    if (*file != NULL) {
        (*file)->node->held--; /* the tree frees what nobody can reach with its next sync */
        free(*file);
        *file = NULL;
    }
}

int
io_directory_make(struct io_set *set, const char *path)
{
    struct sim_disk_user *user = sim_disk_user_of(set);
    int result = check(user, SIM_DISK_NAME);
    if (result < 0) {
        return result;
    }
    struct tree_node *node = tree_find(&user->disk->tree, path);
    if (node != NULL) {
        return node->directory ? 0 : -ENOTDIR;
    }
    return tree_create(&user->disk->tree, path, true, &node);
}

int
io_directory_list(struct io_set *set, const char *path, void (*each)(void *context, const char *name), void *context)
{
    struct sim_disk_user *user = sim_disk_user_of(set);
    int result = check(user, SIM_DISK_NAME);
    if (result < 0) {
        return result;
    }
    const struct tree_node *node = tree_find(&user->disk->tree, path);
    if (node == NULL || !node->directory) {
        return node == NULL ? -ENOENT : -ENOTDIR;
    }
    /* In no order, as with a real one; and `each` may change the directory. */
    size_t count = node->now.count;
    uint64_t start = count == 0 ? 0 : rng_below(&user->disk->rng, count);
    char **names = must(malloc((count + 1) * sizeof *names));
    for (size_t i = 0; i < count; i++) {
        const char *name = node->now.all[(start + i) % count].name;
        names[i] = strcpy(must(malloc(strlen(name) + 1)), name);
    }
    for (size_t i = 0; i < count; i++) {
        each(context, names[i]);
        free(names[i]);
    }
    free(names);
    return 0;
}

int
io_directory_sync(struct io_set *set, const char *path)
{
    struct sim_disk_user *user = sim_disk_user_of(set);
    int result = check(user, SIM_DISK_NAME);
    return result < 0 ? result : tree_sync(&user->disk->tree, path);
}

int
io_directory_lock(struct io_set *set, const char *path)
{
    struct sim_disk_user *user = sim_disk_user_of(set);
    int result = check(user, SIM_DISK_NAME);
    if (result < 0) {
        return result;
    }
    struct tree_node *node = tree_find(&user->disk->tree, path);
    if (node == NULL || !node->directory) {
        return node == NULL ? -ENOENT : -ENOTDIR;
    }
    if (node->locked_by != NULL) {
        return -EWOULDBLOCK;
    }
    node->locked_by = user;
    return 0;
}

int
io_rename(struct io_set *set, const char *from, const char *to)
{
    struct sim_disk_user *user = sim_disk_user_of(set);
    int result = check(user, SIM_DISK_NAME);
    return result < 0 ? result : tree_rename(&user->disk->tree, from, to);
}

int
io_remove(struct io_set *set, const char *path)
{
    struct sim_disk_user *user = sim_disk_user_of(set);
    int result = check(user, SIM_DISK_NAME);
    return result < 0 ? result : tree_remove(&user->disk->tree, path);
}

/* ------------------------------------------------------------------------------------------------------------- content */

static void
assert_aligned(const struct io_file *file, uint64_t offset, const void *bytes, size_t size)
{
    assert(!file->aligned || (offset % IO_FILE_ALIGN == 0 && (uintptr_t)bytes % IO_FILE_ALIGN == 0 && size % IO_FILE_ALIGN == 0));
}

static bool
is_dead(const struct io_file *file)
{
    return file->incarnation != file->disk->incarnation;
}

int64_t
io_file_size(struct io_file *file)
{
    return is_dead(file) ? -EIO : (int64_t)file->node->blocks.size;
}

int64_t
io_file_read(struct io_file *file, uint64_t offset, void *out, size_t size)
{
    assert_aligned(file, offset, out, size);
    if (is_dead(file) || fails(file->disk, SIM_DISK_READ)) {
        return -EIO;
    }
    return (int64_t)blocks_read(&file->node->blocks, offset, out, size);
}

/* How much of a write there is space for, of which the disk would take at least a sector at a time. */
static size_t
fitting_part(const struct io_file *file, uint64_t offset, size_t size)
{
    const struct sim_disk *disk = file->disk;
    uint64_t file_size = file->node->blocks.size;
    if (disk->space == UINT64_MAX || offset + size <= file_size) {
        return size;
    }
    uint64_t used = sim_disk_bytes(disk);
    uint64_t end = file_size + (disk->space > used ? disk->space - used : 0);
    if (offset + size <= end) {
        return size;
    }
    uint64_t part = end > offset ? end - offset : 0;
    return (size_t)(part - part % BLOCKS_SECTOR_BYTES);
}

/* Into the cache. 0 or -errno; `*number` is the write's. */
static int
write_to_cache(struct io_file *file, uint64_t offset, const void *bytes, size_t size, uint64_t *number)
{
    struct sim_disk *disk = file->disk;
    bool failing = fails(disk, SIM_DISK_WRITE);
    size_t part = fitting_part(file, offset, size);
    if (failing) {
        part = (size_t)rng_below(&disk->rng, part / BLOCKS_SECTOR_BYTES + 1) * BLOCKS_SECTOR_BYTES;
    }
    if (part > 0) {
        *number = blocks_write(&file->node->blocks, offset, bytes, part, failing);
    }
    return failing ? -EIO : part < size ? -ENOSPC : 0;
}

int
io_file_write(struct io_file *file, uint64_t offset, const void *bytes, size_t size)
{
    assert_aligned(file, offset, bytes, size);
    uint64_t number;
    return is_dead(file) || power_fails(file->disk) ? -EIO : size == 0 ? 0 : write_to_cache(file, offset, bytes, size, &number);
}

static int
sync_up_to(struct io_file *file, uint64_t number)
{
    bool failing = fails(file->disk, SIM_DISK_SYNC);
    (failing ? blocks_doubt_all : blocks_settle_all)(&file->node->blocks, number);
    return failing ? -EIO : 0;
}

int
io_file_sync(struct io_file *file)
{
    return is_dead(file) || power_fails(file->disk) ? -EIO : sync_up_to(file, file->node->blocks.last_write);
}

/* ------------------------------------------------------------------------------------------------ requests on the ring */

static uint64_t
fingerprint_of(const struct sim_disk_request *r)
{
    uint64_t sum = 0xcbf29ce484222325u; /* FNV-1a, by words */
    bool put = r->kind == SIM_DISK_PUT || r->kind == SIM_DISK_PUT_DURABLE;
    for (uint32_t i = 0; put && i < r->size; i += 8) {
        uint64_t word = 0;
        memcpy(&word, r->bytes + i, r->size - i < 8 ? r->size - i : 8);
        sum = (sum ^ word) * 0x100000001b3u;
    }
    return sum;
}

void
sim_disk_begin(struct sim_disk_user *user, const struct sim_disk_request *request, uint64_t now_ns)
{
    assert_aligned(request->file, request->offset, request->bytes, request->size);
    assert(request->size <= INT32_MAX && (request->size > 0 || request->kind == SIM_DISK_FLUSH));
    if (!is_alive(user)) {
        return;
    }
    struct sim_disk *disk = user->disk;
    disk->now_ns = disk->now_ns > now_ns ? disk->now_ns : now_ns;
    uint64_t takes_ns = disk->latency_min_ns + rng_below(&disk->rng, disk->latency_max_ns - disk->latency_min_ns + 1);
    if (user->count == user->room) {
        user->room = user->room == 0 ? 16 : user->room * 2;
        user->operations = must(realloc(user->operations, user->room * sizeof *user->operations));
    }
    user->operations[user->count++] = (struct operation){
        .request = *request,
        .apply_ns = now_ns + rng_below(&disk->rng, takes_ns + 1),
        .done_ns = now_ns + takes_ns,
        .fingerprint = fingerprint_of(request),
    };
}

static void
apply(struct sim_disk *disk, struct operation *operation)
{
    const struct sim_disk_request *r = &operation->request;
    operation->applied = true;
    assert(operation->fingerprint == fingerprint_of(r)); /* D4 */
    switch (r->kind) {
    case SIM_DISK_PUT:
    case SIM_DISK_PUT_DURABLE:
        operation->result = write_to_cache(r->file, r->offset, r->bytes, r->size, &operation->write);
        break;
    case SIM_DISK_GET:
        operation->result = fails(disk, SIM_DISK_READ) || blocks_read(&r->file->node->blocks, r->offset, r->bytes, r->size) < r->size ? -EIO : 0;
        break;
    case SIM_DISK_FLUSH:
        operation->write = r->file->node->blocks.last_write;
        break;
    }
    if (operation->result == 0) {
        operation->result = (int32_t)r->size;
    }
}

/* What an applied one has done is on the disk, if that is what it was for. */
static void
complete(struct operation *operation)
{
    const struct sim_disk_request *r = &operation->request;
    assert(operation->fingerprint == fingerprint_of(r)); /* D4 */
    if (r->kind == SIM_DISK_FLUSH) {
        operation->result = sync_up_to(r->file, operation->write);
    } else if (r->kind == SIM_DISK_PUT_DURABLE && operation->result > 0) {
        blocks_settle(&r->file->node->blocks, operation->write);
    }
}

/* The one that is to be applied first, if any is due by now. */
static struct operation *
next_to_apply(const struct sim_disk_user *user, uint64_t now_ns)
{
    struct operation *next = NULL;
    for (size_t i = 0; i < user->count; i++) {
        struct operation *at = &user->operations[i];
        if (!at->applied && at->apply_ns <= now_ns && (next == NULL || at->apply_ns < next->apply_ns)) {
            next = at;
        }
    }
    return next;
}

void
sim_disk_advance(struct sim_disk_user *user, uint64_t now_ns)
{
    struct sim_disk *disk = user->disk;
    disk->now_ns = disk->now_ns > now_ns ? disk->now_ns : now_ns; /* after a crash too: time passes until the next world begins */
    if (!is_alive(user)) {
        return;
    }
    for (struct operation *next; (next = next_to_apply(user, now_ns)) != NULL;) {
        apply(disk, next);
    }
}

uint64_t
sim_disk_next_ns(const struct sim_disk_user *user)
{
    uint64_t next_ns = UINT64_MAX;
    for (size_t i = 0; is_alive(user) && i < user->count; i++) {
        const struct operation *at = &user->operations[i];
        uint64_t own_ns = at->apply_ns > user->disk->now_ns ? at->apply_ns : at->done_ns;
        next_ns = own_ns > user->disk->now_ns && own_ns < next_ns ? own_ns : next_ns;
    }
    return next_ns;
}

/* The one that ended first, of those of the shard that have ended. */
static struct operation *
first_done(const struct sim_disk_user *user, unsigned shard)
{
    struct operation *first = NULL;
    for (size_t i = 0; is_alive(user) && i < user->count; i++) {
        struct operation *at = &user->operations[i];
        bool done = at->request.shard == shard && at->done_ns <= user->disk->now_ns;
        if (done && (first == NULL || at->done_ns < first->done_ns)) {
            first = at;
        }
    }
    return first;
}

bool
sim_disk_any_done(const struct sim_disk_user *user, unsigned shard)
{
    return first_done(user, shard) != NULL;
}

static void
forget(struct sim_disk_user *user, struct operation *operation)
{
    *operation = user->operations[--user->count];
}

bool
sim_disk_take_done(struct sim_disk_user *user, unsigned shard, struct io_event *event)
{
    struct operation *done = first_done(user, shard);
    if (done == NULL) {
        return false;
    }
    assert(done->applied); /* sim_disk_advance() comes first */
    complete(done);
    *event = (struct io_event){.type = IO_FILE_DONE, .socket = IO_SOCKET_NONE, .result = done->result, .token = done->request.token};
    forget(user, done);
    return true;
}

void
sim_disk_finish(struct sim_disk_user *user, unsigned shard)
{
    for (size_t i = 0; i < user->count;) {
        struct operation *at = &user->operations[i];
        if (at->request.shard != shard) {
            i++;
            continue;
        }
        if (is_alive(user) && !at->applied) {
            apply(user->disk, at);
        }
        if (is_alive(user)) {
            complete(at);
        }
        forget(user, at);
    }
}

/* ----------------------------------------------------------------------------------------------------- crash and kill */

static void
end_users(struct sim_disk *disk)
{
    disk->incarnation++;
    for (struct sim_disk_user *user = disk->users; user != NULL; user = user->next) {
        unlock_all(disk, user);
        user->count = 0;
    }
    memset(disk->failures, 0, sizeof disk->failures);
    disk->calls_to_crash = 0;
}

void
sim_disk_crash(struct sim_disk *disk)
{
    tree_crash(&disk->tree, &disk->rng);
    end_users(disk);
}

void
sim_disk_crash_after(struct sim_disk *disk, uint32_t calls)
{
    disk->calls_to_crash = (uint64_t)calls + 1;
}

void
sim_disk_kill(struct sim_disk *disk)
{
    for (struct sim_disk_user *user = disk->users; user != NULL; user = user->next) {
        for (size_t i = 0; is_alive(user) && i < user->count; i++) {
            if (!user->operations[i].applied && rng_below(&disk->rng, 2) == 0 && user->operations[i].request.kind != SIM_DISK_GET) {
                apply(disk, &user->operations[i]);
            }
        }
    }
    end_users(disk);
}
