// Copyright 2026 vos_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// The loops over the pixels of a frame of vos_ros/runtime/letterbox.py and of its small picture in
// vos_ros/tracking/scene.py, which say what they are for.  OpenCV scales in a pass over the frame
// and swaps channels in another one over the picture; here a row is finished while it is in the
// nearest cache.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wide.h"

// Two pixels of three channels and one to spare.
typedef uint16_t pair __attribute__((vector_size(16)));
typedef uint8_t bytes __attribute__((vector_size(8)));

static inline pair load(const uint8_t * first, const uint8_t * second)
{
  bytes value;
  memcpy(&value, first, 4);
  memcpy((uint8_t *)&value + 4, second, 4);
  return __builtin_convertvector(value, pair);
}

// Blend two pixels of a row with those to the right of them.
static inline bytes blend(
  const uint8_t * line, const int32_t * at, const uint16_t * shares, int reverse)
{
  pair right_share;
  memcpy(&right_share, shares, sizeof(right_share));
  const pair left = load(line + at[0], line + at[1]);
  const pair right = load(line + at[0] + 3, line + at[1] + 3);
  pair value = (left * (256 - right_share) + right * right_share + 128) >> 8;
  if (reverse) {
#if defined(__clang__)
    value = __builtin_shufflevector(value, value, 2, 1, 0, 3, 6, 5, 4, 7);
#else
    value = __builtin_shuffle(value, (pair){2, 1, 0, 3, 6, 5, 4, 7});
#endif
  }
  return __builtin_convertvector(value, bytes);
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define FOURS 1

// Blend the pixels of a row by fours, each loaded with the one to the right of it; return how many.
// Two are left at least: what is stored for the last four runs over into them.
__attribute__((target("avx2"))) static int blend_fours(
  const uint8_t * line, const int32_t * at, const uint16_t * shares, int columns, int reverse,
  uint8_t * out)
{
  // Of the three channels of a pixel and of its neighbour's, each as 16 bits; -1 gives zero.
  const __m256i left_of = reverse
    ? _mm256_setr_epi8(
    2, -1, 1, -1, 0, -1, -1, -1, 10, -1, 9, -1, 8, -1, -1, -1,
    2, -1, 1, -1, 0, -1, -1, -1, 10, -1, 9, -1, 8, -1, -1, -1)
    : _mm256_setr_epi8(
    0, -1, 1, -1, 2, -1, -1, -1, 8, -1, 9, -1, 10, -1, -1, -1,
    0, -1, 1, -1, 2, -1, -1, -1, 8, -1, 9, -1, 10, -1, -1, -1);
  const __m256i right_of = _mm256_add_epi8(
    left_of, _mm256_and_si256(
      _mm256_cmpgt_epi8(left_of, _mm256_set1_epi8(-1)), _mm256_set1_epi8(3)));
  const __m128i dense = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  const __m256i half = _mm256_set1_epi16(128);
  int x = 0;
  for (; x + 6 <= columns; x += 4, out += 12) {
    __m256i four = _mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)(line + at[x])));
    int64_t next[3];
    memcpy(next, line + at[x + 1], 8);
    memcpy(next + 1, line + at[x + 2], 8);
    memcpy(next + 2, line + at[x + 3], 8);
    four = _mm256_castsi128_si256(_mm_insert_epi64(_mm256_castsi256_si128(four), next[0], 1));
    const __m128i later = _mm_insert_epi64(_mm_cvtsi64_si128(next[1]), next[2], 1);
    four = _mm256_inserti128_si256(four, later, 1);
    const __m256i left = _mm256_shuffle_epi8(four, left_of);
    const __m256i right = _mm256_shuffle_epi8(four, right_of);
    const __m256i share = _mm256_loadu_si256((const __m256i *)(shares + 4 * x));
    // 256 left + (right - left) share: modulo 65536 the same as with two products.
    __m256i value = _mm256_mullo_epi16(_mm256_sub_epi16(right, left), share);
    value = _mm256_add_epi16(_mm256_add_epi16(_mm256_slli_epi16(left, 8), half), value);
    value = _mm256_srli_epi16(value, 8);
    value = _mm256_permute4x64_epi64(_mm256_packus_epi16(value, value), 0x08);
    _mm_storeu_si128(
      (__m128i *)out, _mm_shuffle_epi8(_mm256_castsi256_si128(value), dense));
  }
  return x;
}
#endif

// Scale a frame of three channels to rows x columns, columns even, by linear interpolation.
// frame: rows lie frame_step bytes apart, frame_bytes of each are read.  content: rows lie
// content_step bytes apart.  row_at, row_shares: [rows], the upper of the two rows of the frame and
// the share of the lower one, of 256; the last row of the frame is no upper one.  column_at:
// [columns], three times the left column; column_shares: [columns, 4], one share four times.
// reverse: whether the order of the channels is.  line: [frame_bytes + 8], overwritten.
WIDE void vos_ros_scale(
  const uint8_t * frame, int64_t frame_step, int32_t frame_bytes, int32_t rows, int32_t columns,
  const int32_t * row_at, const uint16_t * row_shares, const int32_t * column_at,
  const uint16_t * column_shares, int32_t reverse, uint8_t * restrict line, uint8_t * content,
  int64_t content_step)
{
#ifdef FOURS
  const int fours = __builtin_cpu_supports("avx2");
#endif
  for (int y = 0; y < rows; ++y) {
    const uint8_t * const upper = frame + row_at[y] * frame_step, * const lower = upper + frame_step;
    const uint16_t low = row_shares[y], high = (uint16_t)(256 - low);
    for (int i = 0; i < frame_bytes; ++i) {
      line[i] = (uint8_t)((uint16_t)(upper[i] * high + lower[i] * low + 128) >> 8);
    }
    uint8_t * out = content + y * content_step;
    int x = 0;
#ifdef FOURS
    if (fours) {
      x = blend_fours(line, column_at, column_shares, columns, reverse, out);
      out += 3 * x;
    }
#endif
    for (; x + 2 < columns; x += 2, out += 6) {
      const bytes two = blend(line, column_at + x, column_shares + 4 * x, reverse);
      memcpy(out, &two, 4);
      memcpy(out + 3, (const uint8_t *)&two + 4, 4);
    }
    // After the last pixel there is no byte to spare.
    const bytes two = blend(line, column_at + x, column_shares + 4 * x, reverse);
    memcpy(out, &two, 3);
    memcpy(out + 3, (const uint8_t *)&two + 4, 3);
  }
}

// Sum up the channels of each stride-th pixel of each stride-th row of a picture of three channels,
// less the mean of these sums, and compare them with those of the picture before.
// picture: rows lie step bytes apart; the first pixel taken is in the middle of the first stride.  sample: [rows, columns] of the pixels taken, overwritten.
// before: as sample.  energy: set to the sum of the squares.  Returns the sum of the products.
float vos_ros_compare(
  const uint8_t * picture, int64_t step, int32_t stride, int32_t rows, int32_t columns,
  const float * before, float * sample, float * energy)
{
  const int count = rows * columns;
  int64_t total = 0;
  for (int y = 0; y < rows; ++y) {
    const uint8_t * const row = picture + (y * stride + stride / 2) * step;
    for (int x = 0; x < columns; ++x) {
      const uint8_t * const pixel = row + 3 * (x * stride + stride / 2);
      const int sum = pixel[0] + pixel[1] + pixel[2];
      sample[y * columns + x] = (float)sum;
      total += sum;
    }
  }
  const float mean = count ? (float)total / (float)count : 0.0f;
  double squares = 0.0, products = 0.0;
  for (int i = 0; i < count; ++i) {
    sample[i] -= mean;
    squares += (double)sample[i] * sample[i];
    products += (double)sample[i] * before[i];
  }
  *energy = (float)squares;
  return (float)products;
}
