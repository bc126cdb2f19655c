/*
 * jwt_pem: walks the blocks of a PEM file that are public keys or certificates, and the lines `kid: NAME` between them.
 *
 *     kid: 2026-a
 *     -----BEGIN PUBLIC KEY-----
 *     ...
 *
 * A name is that of the next block only. Other text between blocks is passed over (RFC 7468 5.2).
 *
 * Threads  the caller's. Memory  the file is read whole; names are borrowed until the next call of jwt_pem_next.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_JWT_PEM_H
#define TIDEWIRE_ENGINE_IDENTITY_JWT_PEM_H

#include <openssl/evp.h>
#include <stdbool.h>

struct jwt_pem;

/* NULL and errno if the file cannot be read (EFBIG: more than a megabyte). */
struct jwt_pem *jwt_pem_open(const char *path);
void jwt_pem_close(struct jwt_pem **pem);

/* The next block. False: there are no more. Else `key` is set (now the caller's), or `problem` says in words why this block is none. */
bool jwt_pem_next(struct jwt_pem *pem, EVP_PKEY **key, const char **problem);
/* Of the block that was returned last: the line where it begins, and its name, "" if it has none. */
unsigned jwt_pem_line(const struct jwt_pem *pem);
const char *jwt_pem_kid(const struct jwt_pem *pem);

#endif
