/*
 * proto: messages in the wire format of Protocol Buffers, written.
 *
 * Fields are appended to a growing string; a message within a message is made
 * first and then added like a text.
 * Source: protobuf.dev/programming-guides/encoding.
 */
#ifndef BUSI_BASE_PROTO_H
#define BUSI_BASE_PROTO_H

#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

void proto_int(struct str *s, int field, int64_t value);
void proto_float(struct str *s, int field, float value);
void proto_text(struct str *s, int field, const char *text);

/* What stands before `nbytes` bytes that the caller writes himself. */
void proto_head(struct str *s, int field, size_t nbytes);

/* Add `message` and release it. */
void proto_message(struct str *s, int field, struct str *message);

#endif
