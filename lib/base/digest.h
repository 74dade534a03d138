/*
 * digest: SHA-256 (FIPS 180-4) of bytes and files, as lower-case hex.
 *
 * Written here and not taken from a library so that the text tools need
 * nothing but libc.
 */
#ifndef BUSI_BASE_DIGEST_H
#define BUSI_BASE_DIGEST_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32, DIGEST_HEX = 65 /* with the NUL */ };

struct digest {
    uint32_t state[8];
    uint64_t nbytes;            /* taken so far */
    unsigned char part[64];     /* a block being filled */
};

void digest_init(struct digest *d);
void digest_add(struct digest *d, const void *data, size_t nbytes);
void digest_end(struct digest *d, char hex[DIGEST_HEX]);

void digest_bytes(const void *data, size_t nbytes, char hex[DIGEST_HEX]);

/* HMAC-SHA-256 (RFC 2104): who does not have the key cannot make or guess it. */
void digest_hmac(const void *key, size_t nkey, const void *data,
                 size_t nbytes, char hex[DIGEST_HEX]);

/* The bytes of a digest from its hex in either case; false: it is none. */
bool digest_unhex(const char *hex, uint8_t bytes[DIGEST_BYTES]);

/* Of a regular file's bytes. */
int digest_file(const char *path, char hex[DIGEST_HEX], struct err *e);

#endif
