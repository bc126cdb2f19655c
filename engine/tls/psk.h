/*
 * psk: pre-shared keys, read from Mosquitto's psk_file: one 'identity:key' a line, the key in hexadecimal digits. Empty lines and those that start with '#' are
 * passed over.
 *
 * A table is immutable. Errors: one line with file and line; never the key.
 */
#ifndef TIDEWIRE_ENGINE_TLS_PSK_H
#define TIDEWIRE_ENGINE_TLS_PSK_H

#include <stddef.h>
#include <stdint.h>

#define PSK_IDENTITY_MAX 127 /* bytes; what wolfSSL takes from a client */
#define PSK_KEY_MAX 64

struct psk_table;

struct psk_table *psk_read(const char *path, char *error, size_t error_size);
void psk_free(struct psk_table **table);

/* The key's bytes, 0: the identity is not known. */
uint32_t psk_find(const struct psk_table *table, const char *identity, uint8_t key[PSK_KEY_MAX]);

#endif
