// Copyright 2026 vos_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// The loops over the masks of a key frame of vos_ros/tracking/sieve.py, which says what they are
// for.  numpy does the same in a dozen passes, each over a copy of the masks that are left; here
// a mask is read once to be looked at and once more to vote.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wide.h"

#define EIGHT 8
typedef float floats __attribute__((vector_size(EIGHT * sizeof(float))));
typedef int32_t numbers __attribute__((vector_size(EIGHT * sizeof(int32_t))));
typedef int8_t flags __attribute__((vector_size(EIGHT)));

// Set eight probabilities 1 / (1 + exp(-x)), within 1e-6.
static inline void probabilities(const float * logits, float * out)
{
  const floats one = {1, 1, 1, 1, 1, 1, 1, 1};
  floats power;
  memcpy(&power, logits, sizeof(power));
  // exp(-x) = 2^whole times 2^part, part in -0.5..0.5, where a polynomial is close enough.
  power = power * -1.44269504f;
  const numbers low = power > -40.0f, high = power < 40.0f;  // beyond, nothing changes any more
  power = (floats)((numbers)power & low & high);
  const floats shifted = power + 12582912.0f;  // rounds: floats have no more places there
  const numbers whole = (numbers)shifted - 0x4b400000;
  const floats part = power - (shifted - 12582912.0f);
  floats value = part * 1.32186749e-3f + 9.67170258e-3f;
  value = value * part + 5.55089300e-2f;
  value = value * part + 2.40222379e-1f;
  value = value * part + 6.93146856e-1f;
  value = value * part + 1.0f;
  value = 1.0f / (1.0f + (floats)((numbers)value + (whole << 23)));
  value = (floats)((((numbers)value & low) | ((numbers)one & ~low)) & high);
  memcpy(out, &value, sizeof(value));
}

static inline float probability(float logit)
{
  float eight[EIGHT] = {logit};
  probabilities(eight, eight);
  return eight[0];
}

// logits: [n, classes].  objectness: [n].  Sets probs: [n, classes], scores: [n], the square root
// of the best class's probability times that of the objectness, and rows: [n], the queries whose
// score reaches least, the best most of them where there are more; returns how many.
WIDE int32_t vos_ros_rank(
  const float * logits, const float * objectness, int32_t n, int32_t classes, float least,
  int32_t most, float * probs, float * scores, int32_t * rows)
{
  const size_t all = (size_t)n * classes;
  size_t i = 0;
  for (; i + EIGHT <= all; i += EIGHT) {
    probabilities(logits + i, probs + i);
  }
  for (; i < all; ++i) {
    probs[i] = probability(logits[i]);
  }
  int32_t count = 0;
  for (int k = 0; k < n; ++k) {
    float best = 0.0f;
    for (int c = 0; c < classes; ++c) {
      const float one = probs[(size_t)k * classes + c];
      best = one > best ? one : best;
    }
    scores[k] = __builtin_sqrtf(best * probability(objectness[k]));
    if (scores[k] >= least) {
      rows[count++] = k;
    }
  }
  if (count <= most) {
    return count;
  }
  int32_t left = 0;
  for (int k = 0; k < n; ++k) {
    const float mine = scores[k];
    if (!(mine >= least)) {
      continue;
    }
    int32_t better = 0;
    for (int other = 0; other < n; ++other) {
      better += (scores[other] > mine) | ((scores[other] == mine) & (other < k));
    }
    if (better < most) {
      rows[left++] = k;
    }
  }
  return left;
}

// Return which of eight cells lie above the threshold, the first in the highest bit, and add
// their probabilities to the eight sums.
static inline uint8_t look(const float * cells, float threshold, float * sums)
{
  floats value, total;
  memcpy(&value, cells, sizeof(value));
  const numbers above = value > threshold;
  const flags narrow = __builtin_convertvector(above, flags);
  uint64_t spread;
  memcpy(&spread, &narrow, sizeof(spread));
  if (!spread) {
    return 0;
  }
  float eight[EIGHT];
  probabilities(cells, eight);
  memcpy(&value, eight, sizeof(value));
  memcpy(&total, sums, sizeof(total));
  total += (floats)((numbers)value & above);
  memcpy(sums, &total, sizeof(total));
  // No two of these bits add up in the highest byte.
  return (uint8_t)(((spread & 0x0102040810204080ull) * 0x0101010101010101ull) >> 56);
}

// masks: [queries, rows, columns] of float, mask_step and row_step floats apart.  chosen: [n] of
// the queries.  Sets bits: [n, octets], the cells above the threshold, row after row, the first
// in the highest bit; areas: [n], how many they are; sums: [n], of the probabilities there.
// octets: at least as many as the cells need; cells that are not there are 0.
// line: [rows * columns + 8], overwritten.
WIDE void vos_ros_outline(
  const float * masks, int64_t mask_step, int64_t row_step, int32_t rows, int32_t columns,
  const int32_t * chosen, int32_t n, float threshold, int32_t octets, uint8_t * bits,
  int32_t * areas, float * sums, float * line)
{
  const int32_t cells = rows * columns;
  for (int k = 0; k < n; ++k, bits += octets) {
    const float * mask = masks + chosen[k] * mask_step;
    if (row_step != columns || cells % EIGHT) {
      for (int y = 0; y < rows; ++y) {
        memcpy(line + (size_t)y * columns, mask + y * row_step, (size_t)columns * sizeof(*line));
      }
      for (int i = 0; i < EIGHT; ++i) {
        line[cells + i] = threshold;  // not above it
      }
      mask = line;
    }
    memset(bits, 0, (size_t)octets);
    int32_t area = 0;
    float eight[EIGHT] = {0};
    for (int i = 0; i < cells; i += EIGHT) {
      bits[i / EIGHT] = look(mask + i, threshold, eight);
      area += __builtin_popcount(bits[i / EIGHT]);
    }
    areas[k] = area;
    sums[k] = 0.0f;
    for (int i = 0; i < EIGHT; ++i) {
      sums[k] += eight[i];
    }
  }
}

static inline int32_t shared_bits(const uint64_t * a, const uint64_t * b, int32_t words)
{
  int32_t shared = 0;
  for (int i = 0; i < words; ++i) {
    shared += __builtin_popcountll(a[i] & b[i]);
  }
  return shared;
}

static inline float ratio(int32_t shared, int32_t a, int32_t b)
{
  const int32_t all = a + b - shared;
  return (float)shared / (float)(all < 1 ? 1 : all);
}

// bits: [n, words], the best first.  areas: [n], their bits.  Sets kept: [n] to the rows that
// repeat no earlier row kept, by their IoU with it or by the share of them that lies in it;
// returns how many.  dropped: [n], zero before.
WIDE int32_t vos_ros_distinct(
  const uint64_t * bits, const int32_t * areas, int32_t n, int32_t words, float iou, float cover,
  int32_t * kept, uint8_t * dropped)
{
  int32_t count = 0;
  for (int i = 0; i < n; ++i) {
    if (dropped[i]) {
      continue;
    }
    kept[count++] = i;
    for (int k = i + 1; k < n; ++k) {
      if (dropped[k]) {
        continue;
      }
      const int32_t shared =
        shared_bits(bits + (size_t)i * words, bits + (size_t)k * words, words);
      dropped[k] = ratio(shared, areas[k], areas[i]) >= iou ||
        (float)shared >= cover * (float)(areas[k] < 1 ? 1 : areas[k]);
    }
  }
  return count;
}

// masks, mask_step, row_step, rows, columns, chosen: see vos_ros_outline; bits, areas: likewise,
// of words.  strengths: [n].  kept: [count] of the n.  Sets weights: [count, n] to each one's
// share in the kept ones' masks, which add up to one: those not kept whose IoU reaches vote_iou
// weigh as much as IoU and strength say, and logits: [count, rows, columns] to the masks they make
// up.
WIDE void vos_ros_vote(
  const float * masks, int64_t mask_step, int64_t row_step, int32_t rows, int32_t columns,
  const int32_t * chosen, int32_t n, const uint64_t * bits, const int32_t * areas, int32_t words,
  const float * strengths, const int32_t * kept, int32_t count, float vote_iou, float * weights,
  float * logits)
{
  for (int c = 0; c < count; ++c, weights += n) {
    const int32_t best = kept[c];
    float sum = 0.0f;
    for (int k = 0; k < n; ++k) {
      const int32_t shared =
        shared_bits(bits + (size_t)best * words, bits + (size_t)k * words, words);
      const float iou = ratio(shared, areas[best], areas[k]);
      weights[k] = k == best ? strengths[k] : iou >= vote_iou ? iou * strengths[k] : 0.0f;
      for (int other = 0; weights[k] && other < count; ++other) {
        if (kept[other] == k && k != best) {
          weights[k] = 0.0f;
        }
      }
      sum += weights[k];
    }
    memset(logits, 0, (size_t)rows * columns * sizeof(*logits));
    for (int k = 0; k < n; ++k) {
      if (!weights[k]) {
        continue;
      }
      weights[k] /= sum;
      const float weight = weights[k];
      const float * mask = masks + chosen[k] * mask_step;
      for (int y = 0; y < rows; ++y, mask += row_step) {
        float * const out = logits + (size_t)y * columns;
        for (int x = 0; x < columns; ++x) {
          out[x] += weight * mask[x];
        }
      }
    }
    logits += (size_t)rows * columns;
  }
}
