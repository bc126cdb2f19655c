/*
 * wolfssl: the library as the files of this folder use it: its headers, its memory counted, its randomness.
 *
 * Internal to engine/tls.
 */
#ifndef TIDEWIRE_ENGINE_TLS_WOLFSSL_H
#define TIDEWIRE_ENGINE_TLS_WOLFSSL_H

#include <stdbool.h>
#include <stddef.h>

#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/aes.h>

/* To be called before anything else of the library; again does nothing. False: it cannot be used. */
bool wolfssl_begin(void);

/* What the library allocates and frees in this thread is added to `*count` from here on; NULL: not counted. Returns what was before. */
size_t *wolfssl_count_memory(size_t *count);

#endif
