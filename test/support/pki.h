/*
 * pki: an authority for tests, in a directory of its own that goes away with it. Everything is made when asked for, so nothing checked in ever expires.
 *
 * What cannot be made aborts: a test without its certificates is none.
 */
#ifndef TIDEWIRE_TEST_SUPPORT_PKI_H
#define TIDEWIRE_TEST_SUPPORT_PKI_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pki;

/* A certificate with its key: FILE.pem and FILE.key. */
struct pki_wish {
    const char *file;
    const char *common_name;  /* NULL: none */
    const char *organization; /* NULL: none */
    const char *host;         /* subjectAltName; NULL: none */
    const char *usage;        /* extendedKeyUsage, as "clientAuth"; NULL: none */
    bool rsa;                 /* else P-256 */
    bool authority;
    int days_from, days_to;   /* from today; both 0: from yesterday to a year on */
};

/* With ca.pem. */
struct pki *pki_open(void);
void pki_close(struct pki **pki);

void pki_issue(struct pki *pki, const struct pki_wish *wish);
/* Writes crl.pem, which names all that were revoked so far; NULL: nobody more. */
void pki_revoke(struct pki *pki, const char *file);

/* The path of a file of it; borrowed until the eighth next call. */
const char *pki_path(const struct pki *pki, const char *file);
/* Writes a file into the directory. */
void pki_write(const struct pki *pki, const char *file, const char *text);

#ifdef __cplusplus
}
#endif

#endif
