/*
 * wolfssl_settings: what of wolfSSL is built (its user_settings.h). TLS 1.2 and 1.3, no files, no sockets, no session cache:
 * that is what brings a connection to a few kilobytes. Included by wolfSSL's sources and by engine/tls alone.
 */
#ifndef TIDEWIRE_ENGINE_TLS_WOLFSSL_SETTINGS_H
#define TIDEWIRE_ENGINE_TLS_WOLFSSL_SETTINGS_H

/* Protocol. wolfSSL 5.5 does not link without its client's side, which nobody calls. */
#define WOLFSSL_TLS13
#define NO_OLD_TLS
#define HAVE_TLS_EXTENSIONS
#define HAVE_SUPPORTED_CURVES
#define HAVE_SNI
#define HAVE_ALPN
#define HAVE_EXTENDED_MASTER
#define HAVE_SESSION_TICKET
#define NO_SESSION_CACHE
/* Renegotiation itself is not there; clients of today refuse a server that does not say so. */
#define HAVE_SERVER_RENEGOTIATION_INFO
/* Suites without a Diffie-Hellman exchange are for listeners with pre-shared keys: small devices have no others. */
#define WOLFSSL_STATIC_PSK

/* Algorithms. */
#define HAVE_HKDF
#define HAVE_AESGCM
#define HAVE_ENCRYPT_THEN_MAC
#define HAVE_CHACHA
#define HAVE_POLY1305
#define HAVE_ONE_TIME_AUTH
#define WOLFSSL_SHA384
#define WOLFSSL_SHA512
#define HAVE_ECC
#define HAVE_ECC384
#define ECC_SHAMIR
#define ECC_TIMING_RESISTANT
#define HAVE_CURVE25519
#define WC_RSA_BLINDING
#define WC_RSA_PSS
#define TFM_TIMING_RESISTANT
#define HAVE_FFDHE_2048
#define HAVE_DH_DEFAULT_PARAMS
#define NO_DES3
#define NO_MD4
#define NO_MD5
#define NO_RC4
#define NO_DSA
#define NO_PWDBASED

/* Certificates. The verify callback always sees the peer's own, which is then not kept. */
#define HAVE_CRL
#define WOLFSSL_ALWAYS_VERIFY_CB
#define WOLFSSL_PEM_TO_DER
#define WOLFSSL_BASE64_ENCODE

/* The world: none. Bytes, memory and randomness are engine/tls's. */
#define WOLFSSL_USER_IO
#define WOLFSSL_NO_SOCK
#define NO_WRITEV
#define NO_FILESYSTEM
#define HAVE_SYS_TIME_H
/* Certificates are looked at in several threads at once: gmtime() would share its answer between them. */
#define HAVE_GMTIME_R
#define HAVE_PTHREAD
#define SIZEOF_LONG 8
#define SIZEOF_LONG_LONG 8
#define HAVE___UINT128_T 1
#define NO_MAIN_DRIVER

#ifndef __ASSEMBLER__
int tls_random(unsigned char *out, unsigned size);
#endif
#define CUSTOM_RAND_GENERATE_BLOCK tls_random

/* Arithmetic: fixed sizes where there is a routine for them (P-256, P-384, 2048 to 4096 bits), one general library for the rest. */
#define WOLFSSL_SP_MATH_ALL
#define WOLFSSL_HAVE_SP_ECC
#define WOLFSSL_SP_384
#define WOLFSSL_HAVE_SP_RSA
#define WOLFSSL_SP_4096
#define WOLFSSL_HAVE_SP_DH
#ifdef __x86_64__
#ifndef WOLFSSL_X86_64_BUILD /* the assembler files get it from the command line: not all of them read this */
#define WOLFSSL_X86_64_BUILD
#endif
#define USE_INTEL_SPEEDUP
#define WOLFSSL_AESNI
#define WOLFSSL_SP_X86_64
#define WOLFSSL_SP_X86_64_ASM
#define WOLFSSL_SP_ASM
#else
#define GCM_TABLE_4BIT
#define WOLFSSL_SP_SMALL
#endif

#endif
