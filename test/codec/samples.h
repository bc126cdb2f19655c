/*
 * samples: valid packets of every type and version, in the form that our encoder gives them: properties in ascending order, then user
 * properties and (in PUBLISH) subscription identifiers, nothing written that may be left out.
 */
#ifndef TIDEWIRE_TEST_CODEC_SAMPLES_H
#define TIDEWIRE_TEST_CODEC_SAMPLES_H

#include "test/codec/wire.h"

struct sample {
    uint8_t version;
    enum packet_sender sender;
    const char *text; /* see wire.h */
};

static const struct sample samples[] = {
    /* MQTT 3.1 */
    {3, CLIENT, "10 [ <MQIsdp> 03 02 003c <client> ]"},
    {3, CLIENT, "10 [ <MQIsdp> 83 00 0000 <bridge> ]"},
    {3, CLIENT, "10 [ <MQIsdp> 03 f6 ffff <client> <will/topic> <gone> <user> <password> ]"},
    {3, CLIENT, "10 [ <MQIsdp> 03 80 003c <client> <user> ]"},
    {3, SERVER, "20 [ 00 00 ]"},
    {3, SERVER, "20 [ 00 04 ]"},
    {3, CLIENT, "30 [ <a/b> 'payload' ]"},
    {3, CLIENT, "3b [ <a/b> 0001 'payload' ]"},
    {3, SERVER, "34 [ <a/b> ffff ]"},
    {3, CLIENT, "40 [ 0001 ]"},
    {3, CLIENT, "50 [ 0102 ]"},
    {3, CLIENT, "62 [ 0102 ]"},
    {3, CLIENT, "70 [ ffff ]"},
    {3, CLIENT, "82 [ 000a <a/#> 01 <b/+/c> 02 ]"},
    {3, SERVER, "90 [ 000a 01 02 ]"},
    {3, CLIENT, "a2 [ 000b <a/#> <b/+/c> ]"},
    {3, SERVER, "b0 [ 000b ]"},
    {3, CLIENT, "c0 []"},
    {3, SERVER, "d0 []"},
    {3, CLIENT, "e0 []"},

    /* MQTT 3.1.1 */
    {4, CLIENT, "10 [ <MQTT> 04 02 003c <client> ]"},
    {4, CLIENT, "10 [ <MQTT> 04 02 0000 <> ]"},
    {4, CLIENT, "10 [ <MQTT> 84 02 000a <bridge> ]"},
    {4, CLIENT, "10 [ <MQTT> 04 0e 000a <client> <will> <> ]"},
    {4, CLIENT, "10 [ <MQTT> 04 f4 ffff <client> <will/topic> <gone> <user> <password> ]"},
    {4, CLIENT, "10 [ <MQTT> 04 82 003c <client> <user> ]"},
    {4, CLIENT, "10 [ <MQTT> 04 c2 003c <\xc3\xa9> <\xe2\x82\xac> 0004 fffefd00 ]"},
    {4, SERVER, "20 [ 00 00 ]"},
    {4, SERVER, "20 [ 01 00 ]"},
    {4, SERVER, "20 [ 00 01 ]"},
    {4, SERVER, "20 [ 00 02 ]"},
    {4, SERVER, "20 [ 00 03 ]"},
    {4, SERVER, "20 [ 00 04 ]"},
    {4, SERVER, "20 [ 00 05 ]"},
    {4, CLIENT, "30 [ <a/b> 'payload' ]"},
    {4, CLIENT, "30 [ <a> ]"},
    {4, CLIENT, "31 [ </> ff00 ]"},
    {4, CLIENT, "32 [ <a/b> 0001 'payload' ]"},
    {4, CLIENT, "3d [ <$SYS/broker> ffff 'payload' ]"},
    {4, SERVER, "34 [ <temp/k\xc3\xbc\x63he/\xf0\x9f\x8c\xa1> 0007 '21' ]"},
    {4, CLIENT, "40 [ 0001 ]"},
    {4, SERVER, "50 [ 0102 ]"},
    {4, CLIENT, "62 [ 0102 ]"},
    {4, SERVER, "70 [ ffff ]"},
    {4, CLIENT, "82 [ 000a <a/#> 01 <b/+/c> 02 <$share/g/x> 00 ]"},
    {4, SERVER, "90 [ 000a 01 02 80 00 ]"},
    {4, CLIENT, "a2 [ 000b <a/#> <b/+/c> ]"},
    {4, SERVER, "b0 [ 000b ]"},
    {4, CLIENT, "c0 []"},
    {4, SERVER, "d0 []"},
    {4, CLIENT, "e0 []"},

    /* MQTT 5.0 */
    {5, CLIENT, "10 [ <MQTT> 05 02 003c [] <client> ]"},
    {5, CLIENT, "10 [ <MQTT> 05 00 0000 [] <> ]"},
    {5, CLIENT, "10 [ <MQTT> 05 42 003c [] <client> 0003 010203 ]"},
    {5, CLIENT, "10 [ <MQTT> 05 c2 003c [] <client> <user> <password> ]"},
    {5, CLIENT, "10 [ <MQTT> 05 04 003c [] <client> [] <will> <> ]"},
    {5, CLIENT, "10 [ <MQTT> 05 f6 003c"
                "  [ 11 00000e10 15 <SCRAM-SHA-256> 16 <n,,n=user> 17 01 19 01 21 0014 22 000a 27 00100000 26 <name> <value> ]"
                "  <client>"
                "  [ 01 01 02 0000003c 03 <text/plain> 08 <reply/here> 09 0004 deadbeef 18 0000001e 26 <a> <1> 26 <a> <2> ]"
                "  <will/topic> <gone> <user> <password> ]"},
    {5, SERVER, "20 [ 00 00 [] ]"},
    {5, SERVER, "20 [ 01 00 [ 21 0014 ] ]"},
    {5, SERVER, "20 [ 00 87 [ 1f <not today> ] ]"},
    {5, SERVER, "20 [ 00 9d [ 1c <other:1883> ] ]"},
    {5, SERVER, "20 [ 00 00"
                "  [ 11 ffffffff 12 <assigned> 13 003c 15 <SCRAM-SHA-256> 16 <v=> 1a <replies/> 1f <hello> 21 ffff 22 000a 24 01"
                "    25 00 27 0fffffff 28 01 29 00 2a 01 26 <a> <1> ] ]"},
    {5, CLIENT, "30 [ <a/b> [] 'payload' ]"},
    {5, CLIENT, "31 [ <a> [] ]"},
    {5, CLIENT, "30 [ <> [ 23 0001 ] 'payload' ]"},
    {5, CLIENT, "3d [ <a/b> ffff"
                "  [ 01 01 02 0000003c 03 <text/plain> 08 <reply/here> 09 0002 00ff 23 ffff 26 <a> <1> 26 <> <> 26 <a> <1> ]"
                "  'payload' ]"},
    {5, SERVER, "32 [ <a/b> 0001 [ 01 00 0b 01 26 <a> <1> 0b ffffff7f 26 <b> <2> 0b 8001 ] 'payload' ]"},
    {5, CLIENT, "40 [ 0001 ]"},
    {5, SERVER, "40 [ 0001 10 ]"},
    {5, CLIENT, "40 [ 0001 00 [ 1f <fine> ] ]"},
    {5, SERVER, "40 [ 0001 97 [ 1f <full> 26 <a> <1> 26 <b> <2> ] ]"},
    {5, CLIENT, "50 [ 0102 ]"},
    {5, CLIENT, "50 [ 0102 91 ]"},
    {5, SERVER, "50 [ 0102 87 [ 26 <a> <1> ] ]"},
    {5, CLIENT, "62 [ 0102 ]"},
    {5, CLIENT, "62 [ 0102 92 ]"},
    {5, SERVER, "62 [ 0102 92 [ 1f <lost> ] ]"},
    {5, SERVER, "70 [ ffff ]"},
    {5, SERVER, "70 [ ffff 92 [ 1f <lost> 26 <a> <1> ] ]"},
    {5, CLIENT, "82 [ 000a [] <a/#> 00 ]"},
    {5, CLIENT, "82 [ 000a [ 0b ffffff7f 26 <a> <1> ] <a/#> 2e <b/+/c> 15 <$share/g/x> 09 <#> 02 ]"},
    {5, SERVER, "90 [ 000a [] 00 01 02 80 83 87 8f 91 97 9e a1 a2 ]"},
    {5, SERVER, "90 [ 000a [ 1f <some> 26 <a> <1> ] 01 ]"},
    {5, CLIENT, "a2 [ 000b [] <a/#> ]"},
    {5, CLIENT, "a2 [ 000b [ 26 <a> <1> ] <a/#> <$share/g/x> ]"},
    {5, SERVER, "b0 [ 000b [] 00 11 80 83 87 8f 91 ]"},
    {5, SERVER, "b0 [ 000b [ 1f <some> 26 <a> <1> ] 11 ]"},
    {5, CLIENT, "c0 []"},
    {5, SERVER, "d0 []"},
    {5, CLIENT, "e0 []"},
    {5, CLIENT, "e0 [ 04 ]"},
    {5, CLIENT, "e0 [ 00 [ 11 00000000 ] ]"},
    {5, CLIENT, "e0 [ 93 [ 11 ffffffff 1f <too many> 26 <a> <1> ] ]"},
    {5, SERVER, "e0 [ 8e ]"},
    {5, SERVER, "e0 [ 9c [ 1c <other:1883> 1f <moved> 26 <a> <1> ] ]"},
    {5, CLIENT, "f0 [ 18 [ 15 <SCRAM-SHA-256> 16 <c=biws> ] ]"},
    {5, CLIENT, "f0 [ 19 [ 15 <SCRAM-SHA-256> ] ]"},
    {5, SERVER, "f0 [ 18 [ 15 <SCRAM-SHA-256> 16 <r=> 1f <go on> 26 <a> <1> ] ]"},
    {5, SERVER, "f0 []"},
    {5, SERVER, "f0 [ 00 [ 15 <SCRAM-SHA-256> ] ]"},
};

#define SAMPLES_COUNT (sizeof samples / sizeof samples[0])

#endif
