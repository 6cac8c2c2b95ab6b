/* mutate.h - changes that keep an input worth running: one per form, seeded, on a buffer in place.
 *
 * All take the size, the room there is, and return the new size. LLVMFuzzerMutate() is called for the parts that have
 * no structure. */
#ifndef FUZZ_MUTATE_H
#define FUZZ_MUTATE_H

#include "fuzz.h"

/** JSON: values replaced, numbers moved, members doubled, dropped, swapped, nested; texts cut. Bytes that are no JSON
 * are changed as bytes. */
size_t mutate_json(uint8_t *data, size_t size, size_t max, struct fuzz_rng *r);

/** A stream of frames of one direction: opened, fields, JSON or order changed, sealed again; one in eight is left
 * broken. */
size_t mutate_stream(uint8_t *data, size_t size, size_t max, struct fuzz_rng *r, enum fuzz_keys keys,
                     unsigned version, bool to_device);

/** A tape: records changed, doubled, dropped, swapped, made; the frames in them opened and sealed again. */
size_t mutate_tape(uint8_t *data, size_t size, size_t max, struct fuzz_rng *r);

/** A pcap file: packets changed, doubled, dropped, swapped, cut; the frames in them opened and sealed again. */
size_t mutate_capture(uint8_t *data, size_t size, size_t max, struct fuzz_rng *r);

/** Two of a form made into one. out must not overlap either. */
size_t cross_json(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max,
                  struct fuzz_rng *r);
size_t cross_streams(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max,
                     struct fuzz_rng *r, enum fuzz_keys keys, unsigned version, bool to_device);
size_t cross_tapes(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max,
                   struct fuzz_rng *r);
size_t cross_captures(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max,
                      struct fuzz_rng *r);

#endif
