#include "base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
/* Up to 18, clang knows no "sha" to ask the processor for. */
#if defined(__x86_64__) && !defined(__clang__)
#define SHA_EXTENSION 1
#else
#define SHA_EXTENSION 0
#endif

#if SHA_EXTENSION
#include <immintrin.h>
#endif

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

static uint32_t
ror(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

/* One round; the names of the eight words move on by one with each. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                    \
    do {                                                                    \
        uint32_t t = h + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) +            \
                     ((e & f) ^ (~e & g)) + K[i] + w[i];                    \
        d += t;                                                             \
        h = t + (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) +                     \
            ((a & b) ^ (a & c) ^ (b & c));                                  \
    } while (0)

static void
block_plain(uint32_t state[8], const unsigned char *p)
{
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    uint32_t w[64];

    for (int i = 0; i < 16; i++, p += 4)
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
               (uint32_t)p[2] << 8 | p[3];
    for (int i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];

        w[i] = w[i - 16] + (ror(x, 7) ^ ror(x, 18) ^ x >> 3) + w[i - 7] +
               (ror(y, 17) ^ ror(y, 19) ^ y >> 10);
    }
    for (int i = 0; i < 64; i += 8) {
        ROUND(a, b, c, d, e, f, g, h, i);
        ROUND(h, a, b, c, d, e, f, g, i + 1);
        ROUND(g, h, a, b, c, d, e, f, i + 2);
        ROUND(f, g, h, a, b, c, d, e, i + 3);
        ROUND(e, f, g, h, a, b, c, d, i + 4);
        ROUND(d, e, f, g, h, a, b, c, i + 5);
        ROUND(c, d, e, f, g, h, a, b, i + 6);
        ROUND(b, c, d, e, f, g, h, a, i + 7);
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

#if SHA_EXTENSION
/*
 * By the processor's own instructions, which hold the eight words as abef and
 * cdgh and do two rounds each; msg1 and msg2 make four words of w at a time.
 * Every scan is hashed by busi-strip, busi-dup and busi-prep.
 */
static void __attribute__((target("sha,sse4.1")))
block_sha(uint32_t state[8], const unsigned char *p)
{
    const __m128i big = _mm_set_epi64x(0x0c0d0e0f08090a0b,
                                       0x0405060700010203);
    __m128i low = _mm_loadu_si128((const __m128i *)state);
    __m128i high = _mm_loadu_si128((const __m128i *)(state + 4));
    __m128i abef, cdgh, abef0, cdgh0, w[4];

    low = _mm_shuffle_epi32(low, 0xb1);
    high = _mm_shuffle_epi32(high, 0x1b);
    abef = abef0 = _mm_alignr_epi8(low, high, 8);
    cdgh = cdgh0 = _mm_blend_epi16(high, low, 0xf0);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        __m128i *x = &w[i % 4], k;

        if (i < 4)
            *x = _mm_shuffle_epi8(
                _mm_loadu_si128((const __m128i *)(p + 16 * i)), big);
        else
            *x = _mm_sha256msg2_epu32(
                _mm_add_epi32(_mm_sha256msg1_epu32(*x, w[(i + 1) % 4]),
                              _mm_alignr_epi8(w[(i + 3) % 4],
                                              w[(i + 2) % 4], 4)),
                w[(i + 3) % 4]);
        k = _mm_add_epi32(*x,
                          _mm_loadu_si128((const __m128i *)(K + 4 * i)));
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0e));
    }
    abef = _mm_shuffle_epi32(_mm_add_epi32(abef, abef0), 0x1b);
    cdgh = _mm_shuffle_epi32(_mm_add_epi32(cdgh, cdgh0), 0xb1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(abef, cdgh, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(cdgh, abef, 8));
}
#endif

static void
block(uint32_t state[8], const unsigned char *p)
{
#if SHA_EXTENSION
    if (__builtin_cpu_supports("sha"))
        block_sha(state, p);
    else
#endif
        block_plain(state, p);
}

void
digest_init(struct digest *d)
{
    static const uint32_t start[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
    };

    memcpy(d->state, start, sizeof d->state);
    d->nbytes = 0;
}

void
digest_add(struct digest *d, const void *data, size_t nbytes)
{
    const unsigned char *p = data;
    size_t have = d->nbytes % 64;

    d->nbytes += nbytes;
    if (have > 0) {
        size_t n = 64 - have < nbytes ? 64 - have : nbytes;

        memcpy(d->part + have, p, n);
        p += n;
        nbytes -= n;
        if (have + n < 64)
            return;
        block(d->state, d->part);
    }
    for (; nbytes >= 64; p += 64, nbytes -= 64)
        block(d->state, p);
    memcpy(d->part, p, nbytes);
}

void
digest_end(struct digest *d, char hex[DIGEST_HEX])
{
    static const unsigned char pad[64] = { 0x80 };
    static const char digits[] = "0123456789abcdef";
    uint64_t nbits = d->nbytes * 8;
    unsigned char length[8];

    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(nbits >> (56 - 8 * i));
    digest_add(d, pad, 1 + (119 - d->nbytes % 64) % 64);
    digest_add(d, length, 8);
    for (int i = 0; i < 64; i++)
        hex[i] = digits[d->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[64] = '\0';
}

void
digest_bytes(const void *data, size_t nbytes, char hex[DIGEST_HEX])
{
    struct digest d;

    digest_init(&d);
    digest_add(&d, data, nbytes);
    digest_end(&d, hex);
}

void
digest_hmac(const void *key, size_t nkey, const void *data, size_t nbytes,
            char hex[DIGEST_HEX])
{
    uint8_t block[64] = { 0 }, inner[DIGEST_BYTES];
    struct digest d;

    if (nkey > sizeof block) {
        digest_bytes(key, nkey, hex);
        digest_unhex(hex, block);
    } else if (nkey > 0) {
        memcpy(block, key, nkey);
    }
    for (int pass = 0; pass < 2; pass++) {
        uint8_t pad[64];

        for (int i = 0; i < 64; i++)
            pad[i] = block[i] ^ (pass == 0 ? 0x36 : 0x5c);
        digest_init(&d);
        digest_add(&d, pad, sizeof pad);
        digest_add(&d, pass == 0 ? data : inner,
                   pass == 0 ? nbytes : sizeof inner);
        digest_end(&d, hex);
        digest_unhex(hex, inner);
    }
}

bool
digest_unhex(const char *hex, uint8_t bytes[DIGEST_BYTES])
{
    for (int i = 0; i < 2 * DIGEST_BYTES; i++) {
        int c = (unsigned char)hex[i];
        int d = c >= '0' && c <= '9' ? c - '0'
              : c >= 'a' && c <= 'f' ? c - 'a' + 10
              : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

        if (d < 0)
            return false;
        bytes[i / 2] = (uint8_t)(i % 2 == 0 ? d << 4 : bytes[i / 2] | d);
    }
    return hex[2 * DIGEST_BYTES] == '\0';
}

int
digest_file(const char *path, char hex[DIGEST_HEX], struct err *e)
{
    unsigned char buf[65536];
    struct digest d;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(e, "cannot open '%s'", path);
    digest_init(&d);
    while ((n = read(fd, buf, sizeof buf)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err_errno(e, "cannot read '%s'", path);
            close(fd);
            return -1;
        }
        digest_add(&d, buf, (size_t)n);
    }
    close(fd);
    digest_end(&d, hex);
    return 0;
}
