#include "engine/security/verified.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#define SET_SIZE 4u

struct slot {
    struct verified_tag tag;
    uint32_t used_s;
    uint32_t taken; /* 0 or 1 */
};

struct verified {
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
    if (v != NULL) {
        memcpy(v->key, key, sizeof v->key);
        v->entries = entries;
        v->set_count = set_count;
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

/* HMAC(HMAC(key, fingerprint and user), password): nested, so that no other split of the same bytes gives the same tag. */
bool
verified_make_tag(const struct verified *v, struct bytes user, struct bytes secret, uint64_t fingerprint, struct verified_tag *out)
{
    uint8_t head[32 + sizeof fingerprint], inner[32], digest[32] = {0};
    memcpy(head + 32, &fingerprint, sizeof fingerprint);
    bool done = EVP_Digest(user.data, user.size, head, NULL, EVP_sha256(), NULL) == 1;
    const uint8_t *text = secret.size > 0 ? secret.data : (const uint8_t *)""; /* NULL would ask for another mode */
    done = done && HMAC(EVP_sha256(), v->key, sizeof v->key, head, sizeof head, inner, NULL) != NULL &&
           HMAC(EVP_sha256(), inner, sizeof inner, text, secret.size, digest, NULL) != NULL;
    memcpy(out->bytes, digest, sizeof out->bytes);
    OPENSSL_cleanse(inner, sizeof inner);
    OPENSSL_cleanse(digest, sizeof digest);
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
