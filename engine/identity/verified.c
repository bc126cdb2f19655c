#include "engine/identity/verified.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

#define SET_SIZE 4u

struct slot {
    struct verified_tag tag;
    uint32_t used_s;
    uint32_t taken; /* 0 or 1 */
};

struct verified {
    EVP_MD *digest;          /* fetched once: looking it up by name costs more than the hash */
    EVP_MD_CTX *context;
    uint8_t key[VERIFIED_KEY_SIZE];
    uint32_t entries;
    uint32_t set_count; /* a power of two */
    struct slot slots[];
};

struct verified *
verified_open(uint32_t entries, const uint8_t key[VERIFIED_KEY_SIZE])
{
    uint32_t set_count = 1;
    while (set_count * SET_SIZE < entries) {
        set_count *= 2;
    }
    struct verified *v = calloc(1, sizeof *v + sizeof v->slots[0] * set_count * SET_SIZE);
    if (v == NULL) {
        return NULL;
    }
    memcpy(v->key, key, sizeof v->key);
    v->entries = entries;
    v->set_count = set_count;
    v->digest = EVP_MD_fetch(NULL, "SHA256", NULL);
    v->context = EVP_MD_CTX_new();
    if (v->digest == NULL || v->context == NULL) {
        verified_close(&v);
    }
    return v;
}

uint64_t
verified_bytes(const struct verified *v)
{
    return sizeof *v + sizeof v->slots[0] * v->set_count * SET_SIZE;
}

void
verified_close(struct verified **vp)
{
    if (*vp != NULL) {
        EVP_MD_free((*vp)->digest);
        EVP_MD_CTX_free((*vp)->context);
        OPENSSL_cleanse(*vp, sizeof **vp);
        free(*vp);
        *vp = NULL;
    }
}

uint32_t
verified_entries(const struct verified *v)
{
    return v->entries;
}

/* Key and sizes come first and have one length each, so no other split of the same bytes gives the same tag. */
bool
verified_make_tag(struct verified *v, struct bytes user, struct bytes secret, uint64_t fingerprint, struct verified_tag *out)
{
    struct {
        uint8_t key[VERIFIED_KEY_SIZE];
        uint64_t fingerprint;
        uint32_t user_size, secret_size;
    } head = {.fingerprint = fingerprint, .user_size = user.size, .secret_size = secret.size};
    uint8_t hash[EVP_MAX_MD_SIZE];
    memcpy(head.key, v->key, sizeof head.key);
    bool done = EVP_DigestInit_ex(v->context, v->digest, NULL) && EVP_DigestUpdate(v->context, &head, sizeof head) &&
                EVP_DigestUpdate(v->context, user.data, user.size) && EVP_DigestUpdate(v->context, secret.data, secret.size) &&
                EVP_DigestFinal_ex(v->context, hash, NULL);
    if (done) {
        memcpy(out->bytes, hash, sizeof out->bytes);
    }
    OPENSSL_cleanse(&head, sizeof head);
    OPENSSL_cleanse(hash, sizeof hash);
    return done;
}

static struct slot *
set_of(struct verified *v, const struct verified_tag *tag)
{
    uint32_t hash;
    memcpy(&hash, tag->bytes, sizeof hash);
    return &v->slots[(hash & (v->set_count - 1)) * SET_SIZE];
}

bool
verified_find(struct verified *v, const struct verified_tag *tag, uint32_t now_s, uint32_t limit_s)
{
    struct slot *set = set_of(v, tag);
    for (unsigned i = 0; i < SET_SIZE; i++) {
        if (set[i].taken && CRYPTO_memcmp(set[i].tag.bytes, tag->bytes, sizeof tag->bytes) == 0) {
            bool fresh = now_s - set[i].used_s <= limit_s;
            set[i].taken = fresh;
            set[i].used_s = now_s;
            return fresh;
        }
    }
    return false;
}

void
verified_add(struct verified *v, const struct verified_tag *tag, uint32_t now_s)
{
    struct slot *set = set_of(v, tag), *oldest = &set[0];
    for (unsigned i = 0; i < SET_SIZE; i++) {
        if (set[i].taken && CRYPTO_memcmp(set[i].tag.bytes, tag->bytes, sizeof tag->bytes) == 0) {
            set[i].used_s = now_s;
            return;
        }
        bool better = oldest->taken && (!set[i].taken || now_s - set[i].used_s > now_s - oldest->used_s);
        oldest = better ? &set[i] : oldest;
    }
    *oldest = (struct slot){.tag = *tag, .used_s = now_s, .taken = 1};
}
