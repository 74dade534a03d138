#include "learn/facts.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_WIDTH = 15 };

/* Takes text and json. */
static void
add(struct facts *f, const char *key, char *text, char *json)
{
    f->fact = mem_grow(f->fact, f->n + 1, sizeof *f->fact);
    f->fact[f->n++] = (struct fact){ mem_strdup(key), text, json };
}

void
facts_text(struct facts *f, const char *key, const char *text)
{
    struct str json = { 0 };

    if (text == NULL || text[0] == '\0')
        return;
    str_add_json(&json, text);
    add(f, key, mem_strdup(text), json.text);
}

void
facts_number(struct facts *f, const char *key, int64_t n)
{
    add(f, key, str_format("%lld", (long long)n),
        str_format("%lld", (long long)n));
}

void
facts_real(struct facts *f, const char *key, double x)
{
    add(f, key, str_format("%.6g", x), str_format("%.6g", x));
}

void
facts_list(struct facts *f, const char *key, const struct str_list *l)
{
    struct str text = { 0 }, json = { 0 };

    str_add(&text, "");
    str_add(&json, "[");
    for (size_t i = 0; i < l->n; i++) {
        str_addf(&text, "%s%s", i > 0 ? ", " : "", l->item[i]);
        str_add(&json, i > 0 ? ", " : "");
        str_add_json(&json, l->item[i]);
    }
    str_add(&json, "]");
    add(f, key, text.text, json.text);
}

void
facts_tally(struct facts *f, const char *key, const struct tally *t,
            const char *none)
{
    struct str text = { 0 }, json = { 0 };

    str_add(&text, "");
    str_add(&json, "{");
    for (size_t i = 0; i < t->name.n; i++) {
        const char *name = t->name.item[i];

        str_addf(&text, "%s%s %zu", i > 0 ? ", " : "",
                 name[0] != '\0' ? name : none, t->count[i]);
        str_add(&json, i > 0 ? ", " : "");
        str_add_json(&json, name);
        str_addf(&json, ": %zu", t->count[i]);
    }
    str_add(&json, "}");
    add(f, key, text.text, json.text);
}

static void
put_plain(const char *text, FILE *to)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            fprintf(to, "\\x%02x", (unsigned)*text);
        else
            putc(*text, to);
}

void
facts_print(const struct facts *f, FILE *to)
{
    for (size_t i = 0; i < f->n; i++) {
        int n = (int)strlen(f->fact[i].key);

        put_plain(f->fact[i].key, to);
        fprintf(to, "%*s", n < KEY_WIDTH ? KEY_WIDTH - n : 1, "");
        put_plain(f->fact[i].text, to);
        putc('\n', to);
    }
}

void
facts_json(const struct facts *f, FILE *to)
{
    struct str key = { 0 };

    fputs("{", to);
    for (size_t i = 0, end; i < f->n; i = end) {
        for (end = i + 1; end < f->n &&
             strcmp(f->fact[end].key, f->fact[i].key) == 0; end++)
            ;
        key.n = 0;
        str_add_json(&key, f->fact[i].key);
        fprintf(to, "%s%s: %s", i > 0 ? ", " : "", key.text,
                end > i + 1 ? "[" : "");
        for (size_t k = i; k < end; k++)
            fprintf(to, "%s%s", k > i ? ", " : "", f->fact[k].json);
        fputs(end > i + 1 ? "]" : "", to);
    }
    fputs("}", to);
    str_release(&key);
}

void
facts_release(struct facts *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->fact[i].key);
        free(f->fact[i].text);
        free(f->fact[i].json);
    }
    free(f->fact);
    memset(f, 0, sizeof *f);
}
