/* tuyawire/client.h - placeholder until the client engine lands. */
#ifndef TUYAWIRE_CLIENT_H
#define TUYAWIRE_CLIENT_H
#endif
