#include "report/page.h"

#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char style[] =
    ":root{--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--paper:#fff;"
    "--tint:#f3f6f9;--warn:#9a3412;--good:#0f5132}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4af;"
    "--line:#3a424c;--paper:#14181d;--tint:#1e242b;--warn:#fdba74;"
    "--good:#86efac}}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;padding:1rem;max-width:72rem;color:var(--ink);"
    "background:var(--paper);font:16px/1.5 system-ui,'Segoe UI',sans-serif}"
    "h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0}"
    "h2{font-size:1.2rem;margin:2rem 0 .5rem;border-bottom:1px solid "
    "var(--line);padding-bottom:.25rem}"
    "h3{font-size:1rem;margin:1rem 0 .25rem}"
    "p{margin:.4rem 0;max-width:48rem}"
    "p.note,p.caption,figcaption{color:var(--soft);font-size:.875rem}"
    "p.warn{color:var(--warn);font-weight:600}"
    ".wide{overflow-x:auto}"
    "table{border-collapse:collapse;margin:.5rem 0;font-size:.875rem}"
    "p.caption{margin:.8rem 0 0;overflow-wrap:anywhere}"
    "th,td{padding:.2rem .6rem;border-bottom:1px solid var(--line);"
    "text-align:left;vertical-align:top}"
    "th{color:var(--soft);font-weight:600}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;"
    "white-space:nowrap}"
    "td.long{overflow-wrap:anywhere}"
    "@media(max-width:40rem){table{font-size:.75rem}th,td{padding:.2rem .25rem}"
    "td.n,th.n{white-space:normal}}"
    ".cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,"
    "1fr));gap:.75rem;margin:1rem 0}"
    ".card{background:var(--tint);border-radius:.4rem;padding:.6rem .8rem}"
    ".card b{display:block;font-size:1.5rem;line-height:1.2}"
    ".card span{color:var(--soft);font-size:.8rem;display:block}"
    ".plots{display:grid;grid-template-columns:repeat(auto-fill,minmax("
    "min(100%,22rem),1fr));gap:1rem;align-items:start}"
    "figure{margin:0}figure img{width:100%;height:auto;background:#fff;"
    "border:1px solid var(--line);border-radius:.3rem}"
    ".scans{display:grid;grid-template-columns:repeat(auto-fill,minmax("
    "10.5rem,1fr));gap:1rem}"
    ".scans img{width:48%;height:auto}.scans figcaption{overflow-wrap:"
    "anywhere}"
    "code{font-size:.8rem;overflow-wrap:anywhere}"
    "@media print{body{max-width:none;font-size:10pt;color:#000;background:"
    "#fff}section{break-inside:auto}figure,tr,.card{break-inside:avoid}"
    "h2,h2+p,p.caption{break-after:avoid}.plots{break-before:avoid}"
    ".plots{grid-template-columns:1fr 1fr}}";

void
page_open(struct str *s, const char *title)
{
    str_add(s, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
               "<meta charset=\"utf-8\">\n<meta name=\"viewport\" content="
               "\"width=device-width, initial-scale=1\">\n<title>");
    page_text(s, title);
    str_add(s, "</title>\n<style>");
    str_add(s, style);
    str_add(s, "</style>\n</head>\n<body>\n<h1>");
    page_text(s, title);
    str_add(s, "</h1>\n");
}

void
page_close(struct str *s)
{
    str_add(s, "</body>\n</html>\n");
}

void
page_text(struct str *s, const char *text)
{
    size_t n = strlen(text);

    while (n > 0) {
        size_t k = str_utf8(text, n);
        unsigned char c = (unsigned char)*text;

        if (c == '&')
            str_add(s, "&amp;");
        else if (c == '<')
            str_add(s, "&lt;");
        else if (c == '>')
            str_add(s, "&gt;");
        else if (c == '"')
            str_add(s, "&quot;");
        else if (c == '\'')
            str_add(s, "&#39;");
        else if (k == 0 || c < ' ' || c == 127)
            str_add(s, c == '\n' || c == '\t' ? " " : "\xef\xbf\xbd");
        else
            str_add_bytes(s, text, k);
        k = k > 0 ? k : 1;
        text += k;
        n -= k;
    }
}

void
page_section(struct str *s, const char *heading)
{
    str_add(s, "<section>\n<h2>");
    page_text(s, heading);
    str_add(s, "</h2>\n");
}

void
page_end(struct str *s)
{
    str_add(s, "</section>\n");
}

void
page_paragraph(struct str *s, const char *class, const char *fmt, ...)
{
    va_list args;
    char *text;

    va_start(args, fmt);
    text = str_vformat(fmt, args);
    va_end(args);
    str_addf(s, class[0] != '\0' ? "<p class=\"%s\">" : "<p>", class);
    page_text(s, text);
    str_add(s, "</p>\n");
    free(text);
}

void
page_cell(struct page_table *t, const char *fmt, ...)
{
    va_list args;
    char *text;

    va_start(args, fmt);
    text = str_vformat(fmt, args);
    va_end(args);
    str_list_add(&t->cells, text);
    free(text);
}

/* Is every cell below the heading of a column a number, or none? */
static bool
is_number_column(const struct page_table *t, size_t column)
{
    for (size_t i = t->columns + column; i < t->cells.n; i += t->columns) {
        const char *c = t->cells.item[i];

        if (*c != '\0' && strcmp(c, "NA") != 0 &&
            (*c < '0' || *c > '9') && *c != '-')
            return false;
    }
    return t->cells.n > t->columns;
}

void
page_table(struct str *s, struct page_table *t)
{
    bool *number = mem_array(t->columns, sizeof *number);

    assert(t->columns > 0);
    for (size_t j = 0; j < t->columns; j++)
        number[j] = is_number_column(t, j);
    if (t->caption != NULL)
        page_paragraph(s, "caption", "%s", t->caption);
    str_add(s, "<div class=\"wide\"><table>");
    for (size_t i = 0; i < t->cells.n; i++) {
        const char *tag = i < t->columns ? "th" : "td";
        size_t j = i % t->columns;
        bool long_text = strlen(t->cells.item[i]) > 40;

        str_addf(s, "%s<%s%s%s>", j == 0 ? "\n<tr>" : "", tag,
                 i < t->columns ? " scope=\"col\"" : "",
                 number[j] ? " class=\"n\""
                           : long_text ? " class=\"long\"" : "");
        page_text(s, t->cells.item[i]);
        str_addf(s, "</%s>%s", tag, j + 1 == t->columns ? "</tr>" : "");
    }
    str_add(s, "\n</table></div>\n");
    free(number);
    str_list_release(&t->cells);
}

/* Base64 (RFC 4648). */
static void
add_base64(struct str *s, const unsigned char *p, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16;
        char four[4];

        v |= i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0;
        v |= i + 2 < n ? p[i + 2] : 0;
        for (int k = 0; k < 4; k++)
            four[k] = digit[v >> (18 - 6 * k) & 63];
        if (i + 1 >= n)
            four[2] = '=';
        if (i + 2 >= n)
            four[3] = '=';
        str_add_bytes(s, four, 4);
    }
}

void
page_image(struct str *s, const char *mime, const void *data, size_t n,
           const char *alt)
{
    str_add(s, "<img alt=\"");
    page_text(s, alt);
    str_addf(s, "\" src=\"data:%s;base64,", mime);
    add_base64(s, data, n);
    str_add(s, "\">");
}
