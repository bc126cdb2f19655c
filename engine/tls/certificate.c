#include "engine/tls/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* struct certificate is an X509: there is nothing to add to it. */
static struct certificate *
wrap(X509 *x509)
{
    ERR_clear_error();
    return (struct certificate *)x509;
}

static X509 *
x509_of(const struct certificate *certificate)
{
    return (X509 *)(uintptr_t)certificate;
}

struct certificate *
certificate_of_pem(struct bytes pem)
{
    BIO *bio = pem.size <= INT_MAX ? BIO_new_mem_buf(pem.data, (int)pem.size) : NULL;
    if (bio == NULL) {
        return NULL;
    }
    X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return wrap(x509);
}

struct certificate *
certificate_of_der(struct bytes der)
{
    const unsigned char *at = der.data;
    return wrap(d2i_X509(NULL, &at, (long)der.size));
}

void
certificate_free(struct certificate **certificate)
{
    X509_free(x509_of(*certificate));
    *certificate = NULL;
}

char *
certificate_common_name(const struct certificate *certificate)
{
    const X509_NAME *name = X509_get_subject_name(x509_of(certificate));
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at < 0) {
        return NULL;
    }
    unsigned char *text = NULL;
    int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    char *copy = NULL;
    /* A NUL inside would let one name pass for a shorter one. */
    if (size > 0 && memchr(text, '\0', (size_t)size) == NULL) {
        copy = strndup((const char *)text, (size_t)size);
    }
    OPENSSL_free(text);
    return copy;
}

char *
certificate_subject(const struct certificate *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL) {
        return NULL;
    }
    char *copy = NULL;
    char *text = NULL;
    if (X509_NAME_print_ex(bio, X509_get_subject_name(x509_of(certificate)), 0, XN_FLAG_RFC2253) >= 0) {
        long size = BIO_get_mem_data(bio, &text);
        copy = size > 0 ? strndup(text, (size_t)size) : strdup("");
    }
    BIO_free(bio);
    return copy;
}

bool
certificate_names_host(const struct certificate *certificate, const char *host)
{
    return X509_check_host(x509_of(certificate), host, strlen(host), 0, NULL) == 1;
}
