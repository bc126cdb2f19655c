#include "engine/tls/psk.h"

#include "engine/tls/tls_file.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct psk_entry {
    char identity[PSK_IDENTITY_MAX + 1];
    uint8_t key[PSK_KEY_MAX];
    uint8_t key_size;
    unsigned line;
};

/* Sorted by identity. */
struct psk_table {
    size_t count, room;
    struct psk_entry *entries;
};

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What is wrong with the key; NULL: nothing. */
static const char *
read_key(const char *text, size_t size, struct psk_entry *entry)
{
    if (size == 0) {
        return "there is no key after the ':'";
    }
    if (size % 2 != 0 || size / 2 > PSK_KEY_MAX) {
        return "the key must be an even number of hexadecimal digits, 128 at most";
    }
    for (size_t i = 0; i < size; i += 2) {
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0) {
            return "the key may hold nothing but hexadecimal digits";
        }
        entry->key[i / 2] = (uint8_t)(high << 4 | low);
    }
    entry->key_size = (uint8_t)(size / 2);
    return NULL;
}

static const char *
read_entry(const char *line, size_t size, struct psk_entry *entry)
{
    const char *colon = memchr(line, ':', size);
    if (colon == NULL) {
        return "an 'identity:key' is expected";
    }
    size_t identity_size = (size_t)(colon - line);
    if (identity_size == 0 || identity_size > PSK_IDENTITY_MAX || memchr(line, '\0', size) != NULL) {
        return "the identity must have 1 to 127 bytes and no NUL";
    }
    memcpy(entry->identity, line, identity_size);
    return read_key(colon + 1, size - identity_size - 1, entry);
}

static struct psk_entry *
add_entry(struct psk_table *table)
{
    if (table->count == table->room) {
        size_t room = table->room ? table->room * 2 : 16;
        struct psk_entry *entries = realloc(table->entries, room * sizeof *entries);
        if (entries == NULL) {
            return NULL;
        }
        table->entries = entries;
        table->room = room;
    }
    struct psk_entry *entry = &table->entries[table->count++];
    *entry = (struct psk_entry){0};
    return entry;
}

static bool
read_line(struct psk_table *table, const char *text, size_t size, unsigned line, const char **wrong)
{
    while (size > 0 && (text[size - 1] == '\r' || text[size - 1] == ' ' || text[size - 1] == '\t')) {
        size--;
    }
    if (size == 0 || text[0] == '#') {
        return true;
    }
    struct psk_entry *entry = add_entry(table);
    if (entry == NULL) {
        *wrong = "out of memory";
        return false;
    }
    entry->line = line;
    *wrong = read_entry(text, size, entry);
    return *wrong == NULL;
}

static int
by_identity(const void *a, const void *b)
{
    return strcmp(((const struct psk_entry *)a)->identity, ((const struct psk_entry *)b)->identity);
}

/* Sorts; false: an identity is there twice. */
static bool
put_in_order(struct psk_table *table, unsigned *line)
{
    if (table->count > 0) {
        qsort(table->entries, table->count, sizeof table->entries[0], by_identity);
    }
    for (size_t i = 1; i < table->count; i++) {
        const struct psk_entry *a = &table->entries[i - 1], *b = &table->entries[i];
        if (strcmp(a->identity, b->identity) == 0) {
            *line = a->line > b->line ? a->line : b->line;
            return false;
        }
    }
    return true;
}

static struct psk_table *
parse(const char *text, size_t size, const char *name, char *error, size_t error_size)
{
    struct psk_table *table = calloc(1, sizeof *table);
    const char *wrong = table == NULL ? "out of memory" : NULL;
    unsigned line = 0;
    for (size_t at = 0; wrong == NULL && at < size;) {
        const char *newline = memchr(text + at, '\n', size - at);
        size_t length = newline != NULL ? (size_t)(newline - text) - at : size - at;
        line++;
        if (read_line(table, text + at, length, line, &wrong)) {
            at += length + 1;
        }
    }
    if (wrong == NULL && !put_in_order(table, &line)) {
        wrong = "this identity has a key already";
    }
    if (wrong != NULL) {
        snprintf(error, error_size, "%s:%u: %s", name, line, wrong);
        psk_free(&table);
    }
    return table;
}

struct psk_table *
psk_read(const char *path, char *error, size_t error_size)
{
    struct tls_file file;
    if (!tls_file_read(&file, "psk_file", path, error, error_size)) {
        return NULL;
    }
    struct psk_table *table = parse((const char *)file.data, file.size, path, error, error_size);
    tls_file_forget(&file);
    return table;
}

void
psk_free(struct psk_table **tp)
{
    struct psk_table *table = *tp;
    *tp = NULL;
    if (table == NULL) {
        return;
    }
    if (table->entries != NULL) {
        explicit_bzero(table->entries, table->room * sizeof table->entries[0]);
    }
    free(table->entries);
    free(table);
}

uint32_t
psk_find(const struct psk_table *table, const char *identity, uint8_t key[PSK_KEY_MAX])
{
    struct psk_entry wanted;
    if (table == NULL || table->count == 0 || strlen(identity) > PSK_IDENTITY_MAX) {
        return 0;
    }
    strcpy(wanted.identity, identity);
    const struct psk_entry *entry = bsearch(&wanted, table->entries, table->count, sizeof wanted, by_identity);
    if (entry == NULL) {
        return 0;
    }
    memcpy(key, entry->key, entry->key_size);
    return entry->key_size;
}
