#include "base/proto.h"

#include <string.h>

enum { VARINT = 0, BYTES = 2, WORD32 = 5 };     /* wire types */

static void
varint(struct str *s, uint64_t v)
{
    uint8_t b[10];
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        b[n++] = (uint8_t)(v | 0x80);
    b[n++] = (uint8_t)v;
    str_add_bytes(s, b, n);
}

static void
tag(struct str *s, int field, int type)
{
    varint(s, (uint64_t)field << 3 | (uint64_t)type);
}

void
proto_int(struct str *s, int field, int64_t value)
{
    tag(s, field, VARINT);
    varint(s, (uint64_t)value);
}

void
proto_float(struct str *s, int field, float value)
{
    uint32_t bits;
    uint8_t b[4];

    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 4; i++)
        b[i] = (uint8_t)(bits >> 8 * i);
    tag(s, field, WORD32);
    str_add_bytes(s, b, sizeof b);
}

void
proto_head(struct str *s, int field, size_t nbytes)
{
    tag(s, field, BYTES);
    varint(s, nbytes);
}

static void
proto_bytes(struct str *s, int field, const void *data, size_t nbytes)
{
    proto_head(s, field, nbytes);
    if (nbytes > 0)
        str_add_bytes(s, data, nbytes);
}

void
proto_text(struct str *s, int field, const char *text)
{
    proto_bytes(s, field, text, strlen(text));
}

void
proto_message(struct str *s, int field, struct str *message)
{
    proto_bytes(s, field, message->text, message->n);
    str_release(message);
}
