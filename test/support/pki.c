#include "test/support/pki.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct pki {
    char directory[64];
    EVP_PKEY *key;
    X509 *certificate;
    X509_CRL *revoked;
    long serial;
};

#define NEED(condition)                                                                                                                                    \
    do {                                                                                                                                                   \
        if (!(condition)) {                                                                                                                                \
            fprintf(stderr, "pki: %s\n", #condition);                                                                                                      \
            abort();                                                                                                                                       \
        }                                                                                                                                                  \
    } while (0)

const char *
pki_path(const struct pki *pki, const char *file)
{
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", pki->directory, file);
    return path;
}

static FILE *
create(const struct pki *pki, const char *file, const char *suffix)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s", file, suffix);
    FILE *stream = fopen(pki_path(pki, name), "w");
    NEED(stream != NULL);
    return stream;
}

void
pki_write(const struct pki *pki, const char *file, const char *text)
{
    FILE *stream = create(pki, file, "");
    fputs(text, stream);
    NEED(fclose(stream) == 0);
}

static EVP_PKEY *
make_key(bool rsa)
{
    EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    NEED(key != NULL);
    return key;
}

static void
add_name(X509 *certificate, const char *field, const char *text)
{
    if (text != NULL) {
        NEED(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), field, MBSTRING_UTF8, (const unsigned char *)text, -1, -1, 0));
    }
}

static void
add_extension(struct pki *pki, X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, pki->certificate != NULL ? pki->certificate : certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    NEED(extension != NULL && X509_add_ext(certificate, extension, -1));
    X509_EXTENSION_free(extension);
}

static X509 *
make_certificate(struct pki *pki, EVP_PKEY *key, int days_from, int days_to)
{
    X509 *certificate = X509_new();
    NEED(certificate != NULL && X509_set_version(certificate, 2) && X509_set_pubkey(certificate, key));
    NEED(ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++pki->serial));
    NEED(X509_gmtime_adj(X509_getm_notBefore(certificate), days_from * 86400L) && X509_gmtime_adj(X509_getm_notAfter(certificate), days_to * 86400L));
    return certificate;
}

static void
write_pair(const struct pki *pki, const char *file, X509 *certificate, EVP_PKEY *key)
{
    FILE *stream = create(pki, file, ".pem");
    NEED(PEM_write_X509(stream, certificate) && fclose(stream) == 0);
    stream = create(pki, file, ".key");
    NEED(PEM_write_PrivateKey(stream, key, NULL, NULL, 0, NULL, NULL) && fclose(stream) == 0);
}

struct pki *
pki_open(void)
{
    struct pki *pki = calloc(1, sizeof *pki);
    NEED(pki != NULL);
    strcpy(pki->directory, "/tmp/tidewire-pki-XXXXXX");
    NEED(mkdtemp(pki->directory) != NULL);
    pki->key = make_key(false);
    X509 *certificate = make_certificate(pki, pki->key, -1, 3650);
    add_name(certificate, "CN", "Test authority");
    NEED(X509_set_issuer_name(certificate, X509_get_subject_name(certificate)));
    add_extension(pki, certificate, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(pki, certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(pki, certificate, NID_subject_key_identifier, "hash");
    NEED(X509_sign(certificate, pki->key, EVP_sha256()));
    pki->certificate = certificate;
    write_pair(pki, "ca", certificate, pki->key);

    pki->revoked = X509_CRL_new();
    NEED(pki->revoked != NULL && X509_CRL_set_version(pki->revoked, 1) && X509_CRL_set_issuer_name(pki->revoked, X509_get_subject_name(certificate)));
    return pki;
}

void
pki_issue(struct pki *pki, const struct pki_wish *wish)
{
    bool usual = wish->days_from == 0 && wish->days_to == 0;
    EVP_PKEY *key = make_key(wish->rsa);
    X509 *certificate = make_certificate(pki, key, usual ? -1 : wish->days_from, usual ? 365 : wish->days_to);
    add_name(certificate, "O", wish->organization);
    add_name(certificate, "CN", wish->common_name);
    NEED(X509_set_issuer_name(certificate, X509_get_subject_name(pki->certificate)));
    add_extension(pki, certificate, NID_basic_constraints, wish->authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (wish->host != NULL) {
        char value[300];
        snprintf(value, sizeof value, "DNS:%s", wish->host);
        add_extension(pki, certificate, NID_subject_alt_name, value);
    }
    if (wish->usage != NULL) {
        add_extension(pki, certificate, NID_ext_key_usage, wish->usage);
    }
    NEED(X509_sign(certificate, pki->key, EVP_sha256()));
    write_pair(pki, wish->file, certificate, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void
add_revoked(struct pki *pki, const char *file)
{
    char name[128];
    snprintf(name, sizeof name, "%s.pem", file);
    FILE *stream = fopen(pki_path(pki, name), "r");
    NEED(stream != NULL);
    X509 *certificate = PEM_read_X509(stream, NULL, NULL, NULL);
    fclose(stream);
    X509_REVOKED *revoked = X509_REVOKED_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, -3600);
    NEED(certificate != NULL && revoked != NULL && now != NULL);
    NEED(X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(certificate)) && X509_REVOKED_set_revocationDate(revoked, now));
    NEED(X509_CRL_add0_revoked(pki->revoked, revoked));
    ASN1_TIME_free(now);
    X509_free(certificate);
}

void
pki_revoke(struct pki *pki, const char *file)
{
    if (file != NULL) {
        add_revoked(pki, file);
    }
    ASN1_TIME *from = X509_gmtime_adj(NULL, -3600), *to = X509_gmtime_adj(NULL, 30 * 86400L);
    NEED(from != NULL && to != NULL && X509_CRL_set1_lastUpdate(pki->revoked, from) && X509_CRL_set1_nextUpdate(pki->revoked, to));
    NEED(X509_CRL_sort(pki->revoked) && X509_CRL_sign(pki->revoked, pki->key, EVP_sha256()));
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    FILE *stream = create(pki, "crl", ".pem");
    NEED(PEM_write_X509_CRL(stream, pki->revoked) && fclose(stream) == 0);
}

void
pki_close(struct pki **pp)
{
    struct pki *pki = *pp;
    *pp = NULL;
    DIR *directory = opendir(pki->directory);
    NEED(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        unlink(pki_path(pki, entry->d_name));
    }
    closedir(directory);
    rmdir(pki->directory);
    X509_CRL_free(pki->revoked);
    X509_free(pki->certificate);
    EVP_PKEY_free(pki->key);
    free(pki);
}
