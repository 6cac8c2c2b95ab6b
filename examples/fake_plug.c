/* fake_plug.c - a fake plug in a unit test: no process, no socket, no clock.
 *
 * plug() is all there is to a plug: what the client sends goes in, what the plug answers comes out. Here our own client
 * engine stands for the code under test; put yours in its place.
 *
 *     cc fake_plug.c $(pkg-config --cflags --libs tuyawire) && ./a.out */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tuyawire/tuyawire.h>

#define CHECK(fact)                                                                                                  \
    if (!(fact)) {                                                                                                   \
        fprintf(stderr, "not so: %s\n", #fact);                                                                      \
        exit(1);                                                                                                     \
    }

static const uint8_t key[TW_KEY_LEN] = "0123456789abcdef";
static bool relay = true;

/* Chance is handed in, so this test is the same every time. */
static int chance(void *ctx, uint8_t *buf, size_t len)
{
    uint8_t *next = ctx;
    for (size_t i = 0; i < len; i++)
        buf[i] = (*next)++;
    return 0;
}

static struct tw_span text(const char *s)
{
    return (struct tw_span){(const uint8_t *)s, strlen(s)};
}

/* Everything this plug can do: tell its relay, and switch it. */
static struct tw_span plug(tw_device *d, struct tw_span from_client)
{
    struct tw_device_event ev;
    struct tw_dp dp;
    tw_device_feed(d, from_client.data, from_client.len, 0);
    while (tw_device_next_event(d, &ev)) {
        uint32_t command = ev.message.command, seq = ev.message.seq;
        if (ev.type == TW_DEVICE_QUERY)
            tw_device_reply(d, command, seq, text(relay ? "{\"dps\":{\"1\":true}}" : "{\"dps\":{\"1\":false}}"));
        if (ev.type == TW_DEVICE_CONTROL) {
            if (tw_dps_find(&dp, ev.body.dps, 1) == TW_OK && dp.value.type == TW_VALUE_BOOL)
                relay = dp.value.boolean;
            tw_device_ack(d, command, seq, 0);
        }
    }
    return tw_device_output(d);
}

int main(void)
{
    uint8_t dice = 1;
    tw_crypto *crypto;
    tw_device_host *host;
    tw_device *device;
    tw_client *client;
    struct tw_client_config client_cfg;
    struct tw_device_config device_cfg;
    struct tw_client_event ev;
    bool answered = false;

    CHECK(tw_crypto_new(&crypto, 4) == TW_OK)
    const struct tw_device_host_config host_cfg = {.crypto = crypto, .random = chance, .random_ctx = &dice};
    CHECK(tw_device_host_new(&host, &host_cfg) == TW_OK)
    tw_device_config_init(&device_cfg, TW_V35, key);
    CHECK(tw_device_new(&device, host, &device_cfg, 0) == TW_OK)

    tw_client_config_init(&client_cfg);
    client_cfg.version = TW_V35;
    memcpy(client_cfg.local_key, key, TW_KEY_LEN);
    client_cfg.crypto = crypto;
    client_cfg.random = chance;
    client_cfg.random_ctx = &dice;
    CHECK(tw_client_new(&client, &client_cfg) == TW_OK)
    tw_client_start(client, 0);
    tw_client_control(client, text("{\"1\":false}"), 0, NULL);
    tw_client_query(client, 0, NULL);

    /* The network: what one says, the other hears, until both are quiet. */
    while (tw_client_output(client).len > 0) {
        struct tw_span said = tw_client_output(client), answer = plug(device, said);
        tw_client_sent(client, said.len);
        tw_client_feed(client, answer.data, answer.len, 0);
        tw_device_sent(device, answer.len);
        while (tw_client_next_event(client, &ev))
            if (ev.type == TW_CLIENT_REPLY) {
                printf("the plug says %.*s\n", (int)ev.payload.len, (const char *)ev.payload.data);
                answered = true;
            }
    }
    CHECK(answered && !relay)

    tw_client_free(client);
    tw_device_free(device);
    tw_device_host_free(host);
    tw_crypto_free(crypto);
    return 0;
}
