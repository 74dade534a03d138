/*
 * fuzz: parsers fed with anything.
 *
 * Each fuzz_NAME.c defines LLVMFuzzerTestOneInput().  `make fuzz` links it with
 * libFuzzer (clang), ASan and UBSan; replay.c feeds the corpus instead, with
 * any compiler, which is what `make check` does.
 */
#ifndef BUSI_TESTS_FUZZ_H
#define BUSI_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The input as text with a NUL behind; the caller frees it. */
static inline char *
fuzz_text(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1);

    if (text == NULL)
        abort();
    memcpy(text, data, n);
    text[n] = '\0';
    return text;
}

/* What files hold from now on, whatever their path (memory.c). */
void fuzz_input(const uint8_t *data, size_t n);

#endif
