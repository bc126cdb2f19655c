/* Files: the blocking calls, and what goes through the ring. Part of the io_uring half; the map of the files is in uring_shard.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine/io/uring_shard.h"

/* Name of the file in a directory whose lock stands for the directory's. */
#define LOCK_NAME "lock"
/* Of so many puts one is measured, and nothing is gathered meanwhile: more of them learn faster that the disk has become so, and gather less. */
#define MEASURE_EVERY 16u
/* Times that one request is made again because the kernel asks for it. It does not, as a rule. */
#define FILE_TRIES_MAX 1000u

struct io_file {
    int fd;
    bool aligned; /* IO_FILE_DIRECT was asked for: everything has to be aligned, whether the file system cares or not */
};

enum file_kind { FILE_PUT, FILE_GET, FILE_FLUSH };

/* Something under way on the ring; by its number in io->file_operations. */
struct file_operation {
    const struct io_file *file;
    uint64_t token;
    uint64_t offset;
    uint64_t measured_ns; /* when it began, if it is measured; else 0 */
    uint8_t *bytes; /* of a put: only read */
    uint32_t size, done;
    uint16_t tries;
    uint8_t kind; /* enum file_kind */
    bool durable;
    uint32_t next_free; /* while it is not used: one more than the number of another such one; 0: none */
};

struct directory_lock {
    struct directory_lock *next;
    int fd;
};

/* ------------------------------------------------------------------------------------------------------------ blocking */

static bool
is_aligned(uint64_t offset, const void *bytes, size_t size)
{
    return offset % IO_FILE_ALIGN == 0 && (uintptr_t)bytes % IO_FILE_ALIGN == 0 && size % IO_FILE_ALIGN == 0;
}

int
io_file_open(struct io_set *set, const char *path, unsigned flags, struct io_file **out)
{
    (void)set;
    int mode = O_RDWR | O_CLOEXEC | ((flags & IO_FILE_CREATE) != 0 ? O_CREAT : 0);
    int direct = (flags & IO_FILE_DIRECT) != 0 ? O_DIRECT : 0;
    int fd = open(path, mode | direct, 0600);
    if (fd < 0 && errno == EINVAL && direct != 0) {
        fd = open(path, mode, 0600); /* a file system without it */
    }
    if (fd < 0) {
        return -errno;
    }
    struct io_file *file = malloc(sizeof *file);
    if (file == NULL) {
        close(fd);
        return -ENOMEM;
    }
    *file = (struct io_file){.fd = fd, .aligned = direct != 0};
    *out = file;
    return 0;
}

void
io_file_close(struct io_file **file)
{
    if (*file != NULL) {
        close((*file)->fd);
        free(*file);
        *file = NULL;
    }
}

int64_t
io_file_size(struct io_file *file)
{
    struct stat about;
    return fstat(file->fd, &about) == 0 ? (int64_t)about.st_size : -errno;
}

int64_t
io_file_read(struct io_file *file, uint64_t offset, void *out, size_t size)
{
    assert(!file->aligned || is_aligned(offset, out, size));
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(file->fd, (uint8_t *)out + done, size - done, (off_t)(offset + done));
        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            return -errno;
        }
        done += got > 0 ? (size_t)got : 0;
        if (file->aligned && done % IO_FILE_ALIGN != 0) {
            break; /* only the file's end is short of a block */
        }
    }
    return (int64_t)done;
}

/* What is to be written again after a first part: from a block's start, where blocks matter. */
static uint64_t
resume_at(const struct io_file *file, uint64_t done)
{
    return file->aligned ? done - done % IO_FILE_ALIGN : done;
}

int
io_file_write(struct io_file *file, uint64_t offset, const void *bytes, size_t size)
{
    assert(!file->aligned || is_aligned(offset, bytes, size));
    size_t done = 0;
    while (done < size) {
        ssize_t put = pwrite(file->fd, (const uint8_t *)bytes + done, size - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return -errno;
        }
        size_t now_done = resume_at(file, done + (size_t)put);
        if (now_done == done) {
            return -EIO; /* it does not get on, and does not say why */
        }
        done = now_done;
    }
    return 0;
}

static int
sync_fd(int fd)
{
    int result;
    do {
        result = fdatasync(fd);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

int
io_file_sync(struct io_file *file)
{
    return sync_fd(file->fd);
}

/* --------------------------------------------------------------------------------------------------------- directories */

int
io_directory_make(struct io_set *set, const char *path)
{
    (void)set;
    if (mkdir(path, 0700) == 0) {
        return 0;
    }
    struct stat about;
    int result = -errno;
    if (result == -EEXIST && stat(path, &about) == 0) {
        result = S_ISDIR(about.st_mode) ? 0 : -ENOTDIR;
    }
    return result;
}

int
io_directory_list(struct io_set *set, const char *path, void (*each)(void *context, const char *name), void *context)
{
    (void)set;
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return -errno;
    }
    errno = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL; errno = 0) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            each(context, entry->d_name);
        }
    }
    int result = -errno;
    closedir(directory);
    return result;
}

int
io_directory_sync(struct io_set *set, const char *path)
{
    (void)set;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int result;
    do {
        result = fsync(fd);
    } while (result < 0 && errno == EINTR);
    result = result < 0 ? -errno : 0;
    close(fd);
    return result;
}

int
io_directory_lock(struct io_set *set, const char *path)
{
    char name[4096];
    if (snprintf(name, sizeof name, "%s/" LOCK_NAME, path) >= (int)sizeof name) {
        return -ENAMETOOLONG;
    }
    struct directory_lock *lock = malloc(sizeof *lock);
    if (lock == NULL) {
        return -ENOMEM;
    }
    lock->fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock->fd < 0 || flock(lock->fd, LOCK_EX | LOCK_NB) != 0) {
        int result = -errno;
        if (lock->fd >= 0) {
            close(lock->fd);
        }
        free(lock);
        return result;
    }
    lock->next = set->locks;
    set->locks = lock;
    return 0;
}

void
file_unlock_all(struct io_set *set)
{
    while (set->locks != NULL) {
        struct directory_lock *lock = set->locks;
        set->locks = lock->next;
        close(lock->fd);
        free(lock);
    }
}

int
io_rename(struct io_set *set, const char *from, const char *to)
{
    (void)set;
    return rename(from, to) == 0 ? 0 : -errno;
}

int
io_remove(struct io_set *set, const char *path)
{
    (void)set;
    return remove(path) == 0 ? 0 : -errno;
}

/* --------------------------------------------------------------------------------------------------------- on the ring */

static uint32_t
take_number(struct io *io)
{
    if (io->file_operations_free != 0) {
        uint32_t number = io->file_operations_free - 1;
        io->file_operations_free = io->file_operations[number].next_free;
        return number;
    }
    if (io->file_operation_count == io->file_operation_room) {
        uint32_t room = io->file_operation_room == 0 ? 16 : io->file_operation_room * 2;
        struct file_operation *grown = realloc(io->file_operations, room * sizeof *grown);
        if (grown == NULL) {
            perror("files");
            abort(); /* a few bytes; what state says must not depend on them */
        }
        io->file_operations = grown;
        io->file_operation_room = room;
    }
    return io->file_operation_count++;
}

static void
submit(struct io *io, uint32_t number)
{
    static const uint8_t opcodes[] = {[FILE_PUT] = IORING_OP_WRITE, [FILE_GET] = IORING_OP_READ, [FILE_FLUSH] = IORING_OP_FSYNC};
    const struct file_operation *operation = &io->file_operations[number];
    struct io_uring_sqe *sqe = ring_take_sqe(&io->ring);
    sqe->opcode = opcodes[operation->kind];
    sqe->fd = operation->file->fd;
    sqe->user_data = shard_tag(OP_FILE, 0, 0, number);
    if (operation->kind == FILE_FLUSH) {
        sqe->fsync_flags = IORING_FSYNC_DATASYNC;
        return;
    }
    sqe->addr = (uintptr_t)(operation->bytes + operation->done);
    sqe->len = operation->size - operation->done;
    sqe->off = operation->offset + operation->done;
    sqe->rw_flags = operation->durable ? RWF_DSYNC : 0;
}

static void
start(struct io *io, const struct file_operation *operation)
{
    assert(operation->size <= INT32_MAX);
    assert(!operation->file->aligned || is_aligned(operation->offset, operation->bytes, operation->size));
    uint32_t number = take_number(io);
    io->file_operations[number] = *operation;
    io->files_under_way++;
    submit(io, number);
}

/*
 * A commit must not wait until messages have been gathered, and a shard under load should not wake up for each of them only because the disk is always busy: so it gathers until a put
 * is expected to end. The kernel cannot be told to end the gathering then.
 */
uint32_t
file_cut_gather(const struct io *io, uint32_t gather_us)
{
    if (io->put_pace.under_way == 0) {
        return gather_us;
    }
    uint64_t now_ns = shard_clock_ns();
    uint64_t left_us = io->put_pace.end_ns > now_ns ? (io->put_pace.end_ns - now_ns) / 1000 : 0;
    return left_us < gather_us ? (uint32_t)left_us : gather_us;
}

/* Returns when it began if it is one that is measured, else 0. */
static uint64_t
begin_put(struct put_pace *pace, bool durable)
{
    uint64_t now_ns = shard_clock_ns();
    bool measured = pace->usual_ns[durable] == 0 || ++pace->unmeasured == MEASURE_EVERY;
    uint64_t end_ns = measured ? now_ns : now_ns + pace->usual_ns[durable];
    pace->end_ns = pace->under_way == 0 || end_ns < pace->end_ns ? end_ns : pace->end_ns;
    pace->under_way++;
    pace->unmeasured = measured ? 0 : pace->unmeasured;
    return measured ? now_ns : 0;
}

/* The usual is nearer to the shortest times than to the mean: what ends before it is held back. */
static void
end_put(struct put_pace *pace, bool durable, uint64_t measured_ns, uint64_t now_ns)
{
    pace->under_way--;
    if (measured_ns == 0) {
        return;
    }
    uint64_t taken_ns = now_ns > measured_ns ? now_ns - measured_ns : 1;
    uint64_t *usual_ns = &pace->usual_ns[durable];
    if (*usual_ns == 0 || taken_ns < *usual_ns) {
        *usual_ns = *usual_ns == 0 ? taken_ns : *usual_ns - (*usual_ns - taken_ns) / 2;
    } else {
        *usual_ns += (taken_ns - *usual_ns) / 16;
    }
}

void
io_file_put(struct io *io, struct io_file *file, uint64_t offset, const void *bytes, uint32_t size, bool durable, uint64_t token)
{
    assert(size > 0);
    start(io, &(struct file_operation){.file = file, .token = token, .offset = offset, .bytes = (uint8_t *)(uintptr_t)bytes, .size = size, .kind = FILE_PUT,
                                       .durable = durable, .measured_ns = begin_put(&io->put_pace, durable)});
}

void
io_file_get(struct io *io, struct io_file *file, uint64_t offset, void *out, uint32_t size, uint64_t token)
{
    assert(size > 0);
    start(io, &(struct file_operation){.file = file, .token = token, .offset = offset, .bytes = out, .size = size, .kind = FILE_GET});
}

void
io_file_flush(struct io *io, struct io_file *file, uint64_t token)
{
    start(io, &(struct file_operation){.file = file, .token = token, .kind = FILE_FLUSH});
}

/* What to tell of an operation whose last part has ended with `result`; false: it goes on. */
static bool
judge(struct file_operation *operation, int32_t result, int32_t *out)
{
    bool again = result == -EINTR || result == -EAGAIN;
    if (result < 0 && !again) {
        *out = result;
        return true;
    }
    if (again) {
        *out = result;
        return ++operation->tries > FILE_TRIES_MAX;
    }
    uint32_t before = operation->done;
    operation->done += (uint32_t)result;
    *out = (int32_t)operation->done;
    if (operation->done == operation->size) {
        return true;
    }
    operation->done = (uint32_t)resume_at(operation->file, operation->done);
    *out = -EIO; /* the file's end, or a write that does not get on */
    return operation->done == before;
}

bool
file_complete(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    uint32_t number = (uint32_t)cqe->user_data;
    assert(number < io->file_operation_count);
    struct file_operation *operation = &io->file_operations[number];
    int32_t result;
    if (!judge(operation, cqe->res, &result)) {
        submit(io, number);
        return false;
    }
    *event = (struct io_event){.type = IO_FILE_DONE, .socket = IO_SOCKET_NONE, .result = result, .token = operation->token};
    operation->next_free = io->file_operations_free;
    io->file_operations_free = number + 1;
    io->files_under_way--;
    if (operation->kind == FILE_PUT) {
        end_put(&io->put_pace, operation->durable, operation->measured_ns, io->now_ns);
    }
    return true;
}

void
file_finish(struct io *io)
{
    while (io->files_under_way > 0) {
        ring_submit_and_wait(&io->ring, 1, UINT64_MAX, 0);
        struct io_event untold;
        uint32_t ready = ring_ready(&io->ring);
        for (uint32_t i = 0; i < ready; i++) {
            const struct io_uring_cqe *cqe = ring_peek(&io->ring, i);
            if (shard_tag_operation(cqe->user_data) == OP_FILE) {
                file_complete(io, cqe, &untold);
            }
        }
        ring_seen(&io->ring, ready);
    }
}
