// Copyright 2026 vos_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// The loop over cells of vos_ros/runtime/guide.py, which says what it is for.  By numpy it is a
// dozen passes over all fine masks; here a row of cells and its weights stay in the caches for all
// masks.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wide.h"

#define NEIGHBOURS 9
#define EIGHT 8
typedef float floats __attribute__((vector_size(EIGHT * sizeof(float))));

// Return a cell's or, of a vector type, several cells' weighted means of the nine around each.
#define MEAN(TYPE, weights, near, mean) do { \
    mean = (TYPE){0}; \
    for (int place = 0; place < NEIGHBOURS; ++place) { \
      TYPE share, cells; \
      memcpy(&share, weights + place * parts * plane, sizeof(share)); \
      memcpy(&cells, near + place / 3 * wide + place % 3, sizeof(cells)); \
      mean += share * cells; \
    } \
} while (0)

// masks: [n, rows, columns].  guide: [9 * factor * factor, rows, columns], so many floats from one
// of its maps to the next (plane) and from row to row (line).  fine: [n, factor rows, factor
// columns], set.  scratch: [3 (columns + 2)].
WIDE void vos_ros_enlarge(
  const float * masks, int32_t n, int32_t rows, int32_t columns, const float * guide,
  int64_t plane, int64_t line, int32_t factor, float * fine, float * scratch)
{
  const int wide = columns + 2, parts = factor * factor;
  for (int y = 0; y < rows; ++y) {
    for (int k = 0; k < n; ++k) {
      const float * const mask = masks + (size_t)k * rows * columns;
      // The rows around, as far as there are any, with their border cells once more beside them.
      for (int r = 0; r < 3; ++r) {
        const int row = y + r - 1 < 0 ? 0 : y + r - 1 < rows ? y + r - 1 : rows - 1;
        float * const near = scratch + r * wide;
        memcpy(near + 1, mask + (size_t)row * columns, (size_t)columns * sizeof(*near));
        near[0] = near[1];
        near[columns + 1] = near[columns];
      }
      for (int part = 0; part < parts; ++part) {
        const float * const weights = guide + part * plane + y * line;
        float * const out = fine +
          ((size_t)(k * rows + y) * factor + part / factor) * factor * columns + part % factor;
        int x = 0;
        for (; x + EIGHT <= columns; x += EIGHT) {
          floats mean;
          MEAN(floats, weights + x, scratch + x, mean);
          for (int i = 0; i < EIGHT; ++i) {
            out[(x + i) * factor] = mean[i];
          }
        }
        for (; x < columns; ++x) {
          float mean;
          MEAN(float, weights + x, scratch + x, mean);
          out[x * factor] = mean;
        }
      }
    }
  }
}
