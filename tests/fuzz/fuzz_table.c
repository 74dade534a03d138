/* Tab-separated tables: what is read is written and read again the same. */
#include "fuzz.h"

#include "base/table.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = fuzz_text(data, n), *again = NULL;
    struct table t = { 0 }, u = { 0 };
    struct err e = { 0 };
    size_t size = 0;
    FILE *f;

    if (table_parse(&t, "fuzz", text, n, &e) == 0) {
        f = open_memstream(&again, &size);
        if (f == NULL)
            abort();
        table_write(&t, f);
        fclose(f);
        if (table_parse(&u, "again", again, size, &e) != 0 ||
            u.nrows != t.nrows || u.ncolumns != t.ncolumns)
            abort();
        for (size_t i = 0; i < t.nrows; i++)
            for (size_t j = 0; j < t.ncolumns; j++)
                if (strcmp(t.row[i][j], u.row[i][j]) != 0)
                    abort();
    }
    table_release(&t);
    table_release(&u);
    free(again);
    free(text);
    return 0;
}
