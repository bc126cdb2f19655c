#include "engine/identity/jwt_pem.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (1u << 20)
#define KID_BYTES_MAX 256

#define BEGIN "-----BEGIN "
#define END "-----END "

struct jwt_pem {
    char *text;     /* with a NUL at its end */
    char *at;
    unsigned line;  /* of `at` */
    unsigned block_line;
    char kid[KID_BYTES_MAX];
};

/* One byte more than fits tells a file that is too large from one that just fits. */
static char *
read_whole(FILE *file)
{
    char *text = malloc(FILE_BYTES_MAX + 2);
    if (text == NULL) {
        return NULL;
    }
    size_t size = fread(text, 1, FILE_BYTES_MAX + 1, file);
    if (ferror(file) || size > FILE_BYTES_MAX) {
        errno = ferror(file) ? errno : EFBIG;
        free(text);
        return NULL;
    }
    text[size] = '\0';
    return text;
}

struct jwt_pem *
jwt_pem_open(const char *path)
{
    struct jwt_pem *pem = calloc(1, sizeof *pem);
    FILE *file = pem != NULL ? fopen(path, "re") : NULL;
    if (file == NULL) {
        free(pem);
        return NULL;
    }
    pem->text = read_whole(file);
    int error = errno;
    fclose(file);
    if (pem->text == NULL) {
        errno = error;
        jwt_pem_close(&pem);
        return NULL;
    }
    pem->at = pem->text;
    pem->line = 1;
    return pem;
}

void
jwt_pem_close(struct jwt_pem **pemp)
{
    struct jwt_pem *pem = *pemp;
    *pemp = NULL;
    free(pem->text);
    free(pem);
}

unsigned
jwt_pem_line(const struct jwt_pem *pem)
{
    return pem->block_line;
}

const char *
jwt_pem_kid(const struct jwt_pem *pem)
{
    return pem->kid;
}

static void
next_line(struct jwt_pem *pem)
{
    char *end = strchr(pem->at, '\n');
    pem->at = end != NULL ? end + 1 : pem->at + strlen(pem->at);
    pem->line += end != NULL;
}

/* `kid: NAME`, if the line is one. */
static bool
read_kid(struct jwt_pem *pem, const char **problem)
{
    if (strncmp(pem->at, "kid:", 4) != 0) {
        return true;
    }
    const char *name = pem->at + 4 + strspn(pem->at + 4, " \t");
    size_t size = strcspn(name, "\r\n");
    while (size > 0 && (name[size - 1] == ' ' || name[size - 1] == '\t')) {
        size--;
    }
    if (size == 0 || size >= sizeof pem->kid) {
        *problem = "a kid of no bytes, or of more than 255";
        return false;
    }
    memcpy(pem->kid, name, size);
    pem->kid[size] = '\0';
    return true;
}

static EVP_PKEY *
key_of_certificate(BIO *bio)
{
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    EVP_PKEY *key = certificate != NULL ? X509_get_pubkey(certificate) : NULL;
    X509_free(certificate);
    return key;
}

/* The block from pem->at to `end`. */
static EVP_PKEY *
read_block(struct jwt_pem *pem, const char *end, const char **problem)
{
    const char *label = pem->at + strlen(BEGIN);
    bool certificate = strncmp(label, "CERTIFICATE-----", 16) == 0;
    if (!certificate && strncmp(label, "PUBLIC KEY-----", 15) != 0) {
        size_t size = strcspn(label, "-\r\n");
        *problem = memmem(label, size, "PRIVATE", 7) != NULL ? "a private key, which has no business here: write its public part with 'openssl pkey -pubout'"
                                                             : "neither a PUBLIC KEY nor a CERTIFICATE";
        return NULL;
    }
    BIO *bio = BIO_new_mem_buf(pem->at, (int)(end - pem->at));
    EVP_PKEY *key = NULL;
    if (bio != NULL) {
        key = certificate ? key_of_certificate(bio) : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    }
    BIO_free(bio);
    ERR_clear_error();
    if (key == NULL) {
        *problem = certificate ? "a certificate that cannot be read" : "a public key that cannot be read";
    }
    return key;
}

bool
jwt_pem_next(struct jwt_pem *pem, EVP_PKEY **key, const char **problem)
{
    pem->kid[0] = '\0';
    for (; *pem->at != '\0' && strncmp(pem->at, BEGIN, strlen(BEGIN)) != 0; next_line(pem)) {
        pem->block_line = pem->line;
        if (!read_kid(pem, problem)) {
            return true;
        }
    }
    pem->block_line = pem->line;
    if (*pem->at == '\0') {
        return false;
    }
    char *end = strstr(pem->at, "\n" END);
    if (end == NULL) {
        *problem = "a block without its end";
        return true;
    }
    char *line_end = strchr(end + 1, '\n');
    *key = read_block(pem, line_end != NULL ? line_end + 1 : end + 1 + strlen(end + 1), problem);
    while (*key != NULL && pem->at <= end) {
        next_line(pem);
    }
    next_line(pem);
    return true;
}
