/* bench_json.c - reading a body in place beside building a tree of it with cJSON. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pairs.h"
#include "tuyawire/dps.h"

enum { N_PAIRS = 31 };

/* 241 bytes, 16 data points: the answer of an energy plug to a query. */
static const char reply[] =
    "{\"devId\":\"fake0000000000000000id\",\"dps\":{\"1\":true,\"9\":0,\"18\":2340,\"19\":5230,\"20\":2301,\"21\":1,"
    "\"22\":627,\"23\":29228,\"24\":17033,\"25\":2460,\"26\":0,\"38\":\"memory\",\"39\":false,\"40\":\"relay\","
    "\"41\":false,"
    "\"42\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}";
_Static_assert(sizeof reply - 1 == 241, "the benchmark is defined for 241 bytes");
static const struct tw_span body = {(const uint8_t *)reply, sizeof reply - 1};

static volatile size_t sink;

static void in_place(void *ctx, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        struct tw_body b;
        if (tw_body_parse(&b, body) != TW_OK)
            abort();
        sink += b.dps.len;
    }
}

static void in_place_with_every_value(void *ctx, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        struct tw_body b;
        struct tw_dp dp;
        if (tw_body_parse(&b, body) != TW_OK)
            abort();
        for (size_t pos = 0; tw_dps_next(&dp, &pos, b.dps);)
            sink += dp.id;
    }
}

static void tree(void *ctx, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        cJSON *root = cJSON_ParseWithLength(reply, sizeof reply - 1);
        if (root == NULL)
            abort();
        sink += root->child != NULL;
        cJSON_Delete(root);
    }
}

int main(void)
{
    struct pairs_result check = pairs_run(in_place, NULL, tree, NULL, N_PAIRS, 0);
    struct pairs_result all = pairs_run(in_place_with_every_value, NULL, tree, NULL, N_PAIRS, 0);
    printf("a reply of 241 bytes with 16 data points, median of %d interleaved pairs\n", N_PAIRS);
    printf("tw_body_parse                      %5.2f of cJSON   %5.0f ns, cJSON %5.0f ns\n", check.ratio, check.a_ns,
           check.b_ns);
    printf("tw_body_parse, every tw_dps_next   %5.2f of cJSON   %5.0f ns, cJSON %5.0f ns\n", all.ratio, all.a_ns,
           all.b_ns);
    return check.ratio < 0.5 && all.ratio < 0.5 ? 0 : 1;
}
