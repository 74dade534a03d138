/* Model texts: what is parsed prints as a text that parses to the same. */
#include "fuzz.h"

#include "model/graph.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = fuzz_text(data, n);
    struct graph g, h;
    struct str s = { 0 };
    struct err e = { 0 };

    if (graph_parse(&g, "fuzz", text, &e) == 0) {
        graph_print(&g, &s);
        if (graph_parse(&h, "again", s.text, &e) != 0 || h.nops != g.nops ||
            h.nparams != g.nparams || graph_macs(&h) != graph_macs(&g))
            abort();
        graph_release(&h);
        str_release(&s);
        graph_release(&g);
    }
    free(text);
    return 0;
}
