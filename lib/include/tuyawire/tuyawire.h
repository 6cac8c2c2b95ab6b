/* tuyawire/tuyawire.h - the whole library: the Tuya LAN protocol, 3.1 to 3.5, bytes in and bytes out.
 *
 * Read in this order: frame.h, version.h, message.h, session.h, dps.h, discovery.h; then the engine of your role:
 * device.h, client.h or observer.h. Nothing here opens a socket, reads a clock or draws a random number.
 * "Spec section N" and "device behaviour N" are sections of docs/protocol.md, the protocol with its sources. */
#ifndef TUYAWIRE_TUYAWIRE_H
#define TUYAWIRE_TUYAWIRE_H

#include "tuyawire/client.h"
#include "tuyawire/command.h"
#include "tuyawire/crypto.h"
#include "tuyawire/device.h"
#include "tuyawire/discovery.h"
#include "tuyawire/dps.h"
#include "tuyawire/error.h"
#include "tuyawire/frame.h"
#include "tuyawire/message.h"
#include "tuyawire/observer.h"
#include "tuyawire/session.h"
#include "tuyawire/span.h"
#include "tuyawire/version.h"

#endif
