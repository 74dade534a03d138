/*
 * facts: what is known about something, by keys, for people and for programs.
 *
 * A fact has a text for people and a JSON value for programs.  Both are made
 * when it is added; nothing that is passed in is kept.
 */
#ifndef BUSI_LEARN_FACTS_H
#define BUSI_LEARN_FACTS_H

#include "base/str.h"
#include "base/table.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct fact {
    char *key, *text, *json;
};

struct facts {
    struct fact *fact;          /* [n] */
    size_t n;
};

/* A text that is NULL or empty adds nothing. */
void facts_text(struct facts *f, const char *key, const char *text);
void facts_number(struct facts *f, const char *key, int64_t n);
void facts_real(struct facts *f, const char *key, double x);    /* 6 digits */
void facts_list(struct facts *f, const char *key, const struct str_list *l);
/* The name "" is called `none`. */
void facts_tally(struct facts *f, const char *key, const struct tally *t,
                 const char *none);

/* A line each, with control characters as \xNN. */
void facts_print(const struct facts *f, FILE *to);
/* One object; a key that comes several times in a row has a list. */
void facts_json(const struct facts *f, FILE *to);
void facts_release(struct facts *f);

#endif
