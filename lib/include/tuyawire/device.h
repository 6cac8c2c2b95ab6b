/* tuyawire/device.h - placeholder until the device engine lands. */
#ifndef TUYAWIRE_DEVICE_H
#define TUYAWIRE_DEVICE_H
#endif
