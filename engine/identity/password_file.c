#include "engine/identity/password_file.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <xxhash.h>

#define USER_SIZE_MAX 65535u
#define SCRAM_SALT_SIZE 16u
#define SCRAM_ITERATIONS_DEFAULT 100000u
#define EMPTY_SLOT UINT32_MAX

struct password_file {
    uint8_t *names;                 /* of all users, one after the other */
    size_t names_used;
    struct password_entry *entries; /* in the file's order */
    uint32_t count, room;
    uint32_t *slots;                /* entry numbers by hash of the name, open addressing, at most half full */
    uint32_t slot_count;            /* a power of two */
    uint32_t of_kind[PASSWORD_KINDS];
    uint32_t scram_iterations;      /* of the first user with SCRAM */
    struct password stand_in;
    uint8_t scram_secret[PASSWORD_KEY_SIZE];
};

/* Where parsing is, for messages. */
struct place {
    const char *name;
    uint32_t line;
    char *error;
    size_t error_size;
};

__attribute__((format(printf, 2, 3))) static bool
refuse(const struct place *place, const char *format, ...)
{
    int at = place->line > 0 ? snprintf(place->error, place->error_size, "%s:%u: ", place->name, place->line)
                             : snprintf(place->error, place->error_size, "%s: ", place->name);
    if (at >= 0 && (size_t)at < place->error_size) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(place->error + at, place->error_size - (size_t)at, format, arguments);
        va_end(arguments);
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------------------------ users */

static uint32_t
slot_of(const struct password_file *file, struct bytes user)
{
    uint32_t at = (uint32_t)XXH3_64bits(user.data, user.size) & (file->slot_count - 1);
    while (file->slots[at] != EMPTY_SLOT && !bytes_equal(file->entries[file->slots[at]].user, user)) {
        at = (at + 1) & (file->slot_count - 1);
    }
    return at;
}

static bool
grow(struct password_file *file)
{
    uint32_t room = file->room ? file->room * 2 : 16;
    struct password_entry *entries = reallocarray(file->entries, room, sizeof *entries);
    if (entries == NULL) {
        return false;
    }
    file->entries = entries;
    file->room = room;
    uint32_t *slots = malloc(sizeof *slots * room * 2);
    if (slots == NULL) {
        return false;
    }
    free(file->slots);
    file->slots = slots;
    file->slot_count = room * 2;
    memset(slots, 0xff, sizeof *slots * file->slot_count);
    for (uint32_t i = 0; i < file->count; i++) {
        slots[slot_of(file, entries[i].user)] = i;
    }
    return true;
}

static uint64_t
fingerprint_of(struct bytes user, struct bytes stored)
{
    return XXH3_64bits_withSeed(stored.data, stored.size, XXH3_64bits(user.data, user.size));
}

static bool
add_user(struct password_file *file, const struct place *place, struct bytes user, struct bytes stored)
{
    if (file->count == file->room && !grow(file)) {
        return refuse(place, "out of memory");
    }
    uint32_t slot = slot_of(file, user);
    if (file->slots[slot] != EMPTY_SLOT) {
        return refuse(place, "user '%.*s' is there twice", (int)(user.size < 100 ? user.size : 100), (const char *)user.data);
    }
    struct password_entry *entry = &file->entries[file->count];
    const char *wrong = password_parse(stored, &entry->password);
    if (wrong != NULL) {
        return refuse(place, "%s", wrong);
    }
    uint8_t *name = file->names + file->names_used;
    memcpy(name, user.data, user.size);
    file->names_used += user.size;
    entry->user = bytes_of(name, user.size);
    entry->fingerprint = fingerprint_of(user, stored);
    file->slots[slot] = file->count++;
    if (file->of_kind[entry->password.kind]++ == 0 && entry->password.kind == PASSWORD_SCRAM) {
        file->scram_iterations = entry->password.iterations;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------------------ lines */

const char *
password_file_check_name(struct bytes user)
{
    if (user.size == 0 || user.size > USER_SIZE_MAX) {
        return "a user name that is empty or has more than 65535 bytes";
    }
    if (user.data[0] == '#') {
        return "a user name that begins with '#', as comments do";
    }
    for (uint32_t i = 0; i < user.size; i++) {
        if (user.data[i] < 0x20 || user.data[i] == 0x7f || user.data[i] == ':') {
            return "a user name with a control character or a ':'";
        }
    }
    return utf8_check(user) ? NULL : "a user name that is not UTF-8";
}

static bool
is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* As Mosquitto: blanks around a name, a password and a line do not count. */
static struct bytes
trim(struct bytes text)
{
    while (text.size > 0 && is_blank(text.data[0])) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && is_blank(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

static bool
read_line(struct password_file *file, const struct place *place, struct bytes line)
{
    if (line.size > 0 && line.data[0] == '#') {
        return true;
    }
    line = trim(line);
    if (line.size == 0) {
        return true;
    }
    const uint8_t *colon = memchr(line.data, ':', line.size);
    if (colon == NULL) {
        return refuse(place, "not 'user:password'");
    }
    struct bytes user = trim(bytes_of(line.data, (uint32_t)(colon - line.data)));
    struct bytes stored = trim(bytes_of(colon + 1, line.size - (uint32_t)(colon - line.data) - 1));
    const char *wrong = password_file_check_name(user);
    if (wrong == NULL && stored.size == 0) {
        wrong = "a user without a password";
    }
    return wrong == NULL ? add_user(file, place, user, stored) : refuse(place, "%s", wrong);
}

static bool
read_lines(struct password_file *file, struct place *place, struct bytes text)
{
    struct reader r = reader_of(text);
    while (reader_left(&r) > 0) {
        const uint8_t *end = memchr(r.at, '\n', reader_left(&r));
        place->line++;
        if (!read_line(file, place, reader_take(&r, end != NULL ? (uint32_t)(end - r.at) : reader_left(&r)))) {
            return false;
        }
        reader_take(&r, end != NULL ? 1 : 0);
    }
    place->line = 0;
    return true;
}

/* ------------------------------------------------------------------------------------------------------------- stand-ins */

/* The first user with the kind that most have lends its costs. */
static void
choose_stand_in(struct password_file *file)
{
    unsigned usual = PASSWORD_PBKDF2;
    for (unsigned kind = 0; kind < PASSWORD_KINDS; kind++) {
        usual = file->of_kind[kind] > file->of_kind[usual] ? kind : usual;
    }
    file->stand_in = (struct password){.kind = PASSWORD_PBKDF2, .salt_size = 12, .hash_size = PASSWORD_HASH_MAX, .iterations = 1000};
    for (uint32_t i = 0; i < file->count; i++) {
        if (file->entries[i].password.kind == usual) {
            file->stand_in = file->entries[i].password;
            break;
        }
    }
}

static bool
make_stand_ins(struct password_file *file)
{
    static const struct password nobody;
    choose_stand_in(file);
    const struct password *first = file->count > 0 ? &file->entries[0].password : &nobody;
    return EVP_Digest(first->hash, sizeof first->hash, file->scram_secret, NULL, EVP_sha256(), NULL) == 1 &&
           RAND_bytes(file->stand_in.hash, sizeof file->stand_in.hash) == 1 && RAND_bytes(file->stand_in.salt, sizeof file->stand_in.salt) == 1;
}

const struct password *
password_file_stand_in(const struct password_file *file)
{
    return &file->stand_in;
}

bool
password_file_scram_stand_in(const struct password_file *file, struct bytes user, struct password *out)
{
    uint8_t salt[PASSWORD_KEY_SIZE];
    *out = (struct password){
        .kind = PASSWORD_SCRAM,
        .salt_size = SCRAM_SALT_SIZE,
        .hash_size = PASSWORD_KEY_SIZE,
        .iterations = file->scram_iterations != 0 ? file->scram_iterations : SCRAM_ITERATIONS_DEFAULT,
    };
    bool done = HMAC(EVP_sha256(), file->scram_secret, sizeof file->scram_secret, user.data, user.size, salt, NULL) != NULL &&
                RAND_bytes(out->hash, PASSWORD_KEY_SIZE) == 1 && RAND_bytes(out->server_key, PASSWORD_KEY_SIZE) == 1;
    memcpy(out->salt, salt, SCRAM_SALT_SIZE);
    return done;
}

/* -------------------------------------------------------------------------------------------------------------- the whole */

struct password_file *
password_file_parse(const char *text, size_t size, const char *name, char *error, size_t error_size)
{
    struct place place = {.name = name, .error = error, .error_size = error_size};
    if (size > PASSWORD_FILE_SIZE_MAX) {
        refuse(&place, "more than %u bytes", PASSWORD_FILE_SIZE_MAX);
        return NULL;
    }
    struct password_file *file = calloc(1, sizeof *file);
    bool room = file != NULL && (file->names = malloc(size + 1)) != NULL && grow(file);
    bool done = room && read_lines(file, &place, bytes_of(text, (uint32_t)size));
    if (!room || (done && !make_stand_ins(file))) {
        done = refuse(&place, "out of memory or randomness");
    }
    if (!done) {
        password_file_free(&file);
    }
    return file;
}

/* The file's bytes, to be wiped and freed; NULL with a line in `error`. */
static char *
read_whole(FILE *stream, size_t size, const struct place *place)
{
    if (size > PASSWORD_FILE_SIZE_MAX) {
        refuse(place, "more than %u bytes", PASSWORD_FILE_SIZE_MAX);
        return NULL;
    }
    char *text = malloc(size + 1);
    if (text == NULL || fread(text, 1, size, stream) != size) {
        refuse(place, text == NULL ? "out of memory" : "cannot be read whole");
        free(text);
        return NULL;
    }
    return text;
}

struct password_file *
password_file_read(const char *path, char *error, size_t error_size, char *warning, size_t warning_size)
{
    struct place place = {.name = path, .error = error, .error_size = error_size};
    struct password_file *file = NULL;
    struct stat about;
    FILE *stream = fopen(path, "re");
    if (stream == NULL || fstat(fileno(stream), &about) != 0) {
        refuse(&place, "the password file cannot be opened: %s", strerror(errno));
    } else if (!S_ISREG(about.st_mode)) {
        refuse(&place, "the password file is not a file");
    } else {
        size_t size = (size_t)about.st_size;
        char *text = read_whole(stream, size, &place);
        file = text != NULL ? password_file_parse(text, size, path, error, error_size) : NULL;
        if (text != NULL) {
            OPENSSL_cleanse(text, size);
        }
        free(text);
        if (warning != NULL) {
            bool open_to_all = about.st_mode & S_IROTH;
            snprintf(warning, warning_size, "%s%s", open_to_all ? path : "",
                     open_to_all ? ": everybody on this machine may read the password file; chmod 0640 or less" : "");
        }
    }
    if (stream != NULL) {
        fclose(stream);
    }
    return file;
}

void
password_file_free(struct password_file **filep)
{
    struct password_file *file = *filep;
    *filep = NULL;
    if (file == NULL) {
        return;
    }
    if (file->entries != NULL) {
        OPENSSL_cleanse(file->entries, sizeof *file->entries * file->room);
    }
    free(file->entries);
    free(file->slots);
    free(file->names);
    OPENSSL_cleanse(file, sizeof *file);
    free(file);
}

const struct password_entry *
password_file_find(const struct password_file *file, struct bytes user)
{
    uint32_t entry = file->slots[slot_of(file, user)];
    return entry != EMPTY_SLOT ? &file->entries[entry] : NULL;
}

uint32_t
password_file_count(const struct password_file *file)
{
    return file->count;
}

void
password_file_check(const struct password_file *file)
{
    for (uint32_t i = 0; i < file->count; i++) {
        const struct password_entry *entry = &file->entries[i];
        char text[PASSWORD_TEXT_MAX];
        struct password again;
        assert(password_file_check_name(entry->user) == NULL);    /* F1 */
        assert(password_file_find(file, entry->user) == entry);   /* F1 */
        password_write(&entry->password, text);
        const char *wrong = password_parse(bytes_of(text, (uint32_t)strlen(text)), &again);
        assert(wrong == NULL && memcmp(&again, &entry->password, sizeof again) == 0); /* F2 */
        (void)wrong;
    }
}
