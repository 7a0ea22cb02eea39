"""XXH3, 64 bits, seed 0, as a numba kernel: the identity of a word.

Algorithm: Yann Collet's XXH3_64bits with the default secret, equal bit for bit to `xxhash.xxh3_64_intdigest`
for every length (the tests compare). Rejected: calling the xxhash package for each word (a Python call
each), and a hash of our own (nobody outside could recompute what the corpus stores).

All arithmetic is unsigned: one signed operand would turn numba's result into a float.
"""

from __future__ import annotations

import numpy as np
from numba import njit

U = np.uint64
SECRET = np.frombuffer(
    bytes.fromhex(
        "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
        "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
        "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
        "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
    ),
    np.uint8,
)
P32_1, P32_2, P32_3 = U(0x9E3779B1), U(0x85EBCA77), U(0xC2B2AE3D)
P64_1, P64_2, P64_3 = U(0x9E3779B185EBCA87), U(0xC2B2AE3D27D4EB4F), U(0x165667B19E3779F9)
P64_4, P64_5 = U(0x85EBCA77C2B2AE63), U(0x27D4EB2F165667C5)
AVALANCHE, RRMXMX, LOW = U(0x165667919E3779F9), U(0x9FB21C651E98DF25), U(0xFFFFFFFF)


def _secret(at: int) -> np.uint64:
    return U(int.from_bytes(SECRET[at : at + 8].tobytes(), "little"))


FLIP_0 = _secret(56) ^ _secret(64)
FLIP_3 = (_secret(0) & LOW) ^ (_secret(0) >> U(32))
FLIP_8 = _secret(8) ^ _secret(16)
FLIP_16_LOW, FLIP_16_HIGH = _secret(24) ^ _secret(32), _secret(40) ^ _secret(48)


@njit(nogil=True, cache=True, inline="always")
def read32(data: np.ndarray, at: np.uint64) -> np.uint64:
    return (
        U(data[at]) | U(data[at + U(1)]) << U(8) | U(data[at + U(2)]) << U(16) | U(data[at + U(3)]) << U(24)
    )


@njit(nogil=True, cache=True)
def read64(data: np.ndarray, at: np.uint64) -> np.uint64:
    return read32(data, at) | read32(data, at + U(4)) << U(32)


@njit(nogil=True, cache=True)
def _fold(a: np.uint64, b: np.uint64) -> np.uint64:
    """The 128-bit product of `a` and `b`, its halves xored."""
    a_low, a_high, b_low, b_high = a & LOW, a >> U(32), b & LOW, b >> U(32)
    low, cross, high = a_low * b_low, a_high * b_low, a_high * b_high
    middle = (low >> U(32)) + (cross & LOW) + a_low * b_high
    return (high + (cross >> U(32)) + (middle >> U(32))) ^ (middle << U(32) | low & LOW)


@njit(nogil=True, cache=True)
def _avalanche(h: np.uint64) -> np.uint64:
    h = (h ^ h >> U(37)) * AVALANCHE
    return h ^ h >> U(32)


@njit(nogil=True, cache=True)
def _swap(h: np.uint64) -> np.uint64:
    """The bytes of `h` in the other order."""
    h = h >> U(32) | h << U(32)
    h = (h & U(0xFFFF0000FFFF0000)) >> U(16) | (h & U(0x0000FFFF0000FFFF)) << U(16)
    return (h & U(0xFF00FF00FF00FF00)) >> U(8) | (h & U(0x00FF00FF00FF00FF)) << U(8)


@njit(nogil=True, cache=True)
def _mix(data: np.ndarray, at: np.uint64, key: np.uint64) -> np.uint64:
    return _fold(read64(data, at) ^ read64(SECRET, key), read64(data, at + U(8)) ^ read64(SECRET, key + U(8)))


@njit(nogil=True, cache=True)
def _upto128(data: np.ndarray, at: np.uint64, n: np.uint64) -> np.uint64:
    acc = n * P64_1
    pairs = (n - U(1)) // U(32) + U(1)
    for i in range(pairs):
        pair = U(i)
        acc += _mix(data, at + U(16) * pair, U(32) * pair)
        acc += _mix(data, at + n - U(16) * (pair + U(1)), U(32) * pair + U(16))
    return _avalanche(acc)


@njit(nogil=True, cache=True)
def _upto240(data: np.ndarray, at: np.uint64, n: np.uint64) -> np.uint64:
    acc = n * P64_1
    for i in range(8):
        acc += _mix(data, at + U(16) * U(i), U(16) * U(i))
    acc = _avalanche(acc)
    for i in range(8, n // U(16)):
        acc += _mix(data, at + U(16) * U(i), U(16) * U(i - 8) + U(3))
    return _avalanche(acc + _mix(data, at + n - U(16), U(119)))


@njit(nogil=True, cache=True)
def _stripe(acc: np.ndarray, data: np.ndarray, at: np.uint64, key: np.uint64) -> None:
    for i in range(8):
        value = read64(data, at + U(8) * U(i))
        keyed = value ^ read64(SECRET, key + U(8) * U(i))
        acc[i ^ 1] += value
        acc[i] += (keyed & LOW) * (keyed >> U(32))


@njit(nogil=True, cache=True)
def _long(data: np.ndarray, at: np.uint64, n: np.uint64) -> np.uint64:
    acc = np.array([P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1])
    stripes = (n - U(1)) // U(64)
    for s in range(stripes):
        stripe = U(s)
        _stripe(acc, data, at + U(64) * stripe, U(8) * (stripe % U(16)))
        if stripe % U(16) == U(15):
            for i in range(8):
                acc[i] = (acc[i] ^ acc[i] >> U(47) ^ read64(SECRET, U(128) + U(8) * U(i))) * P32_1
    _stripe(acc, data, at + n - U(64), U(121))
    merged = n * P64_1
    for i in range(4):
        key = U(11) + U(16) * U(i)
        merged += _fold(acc[2 * i] ^ read64(SECRET, key), acc[2 * i + 1] ^ read64(SECRET, key + U(8)))
    return _avalanche(merged)


@njit(nogil=True, cache=True, inline="always")
def _upto3(first: np.uint64, middle: np.uint64, last: np.uint64, n: np.uint64) -> np.uint64:
    h = (first << U(16) | middle << U(24) | last | n << U(8)) ^ FLIP_3
    h = (h ^ h >> U(33)) * P64_2
    h = (h ^ h >> U(29)) * P64_3
    return h ^ h >> U(32)


@njit(nogil=True, cache=True, inline="always")
def _upto8(first: np.uint64, last: np.uint64, n: np.uint64) -> np.uint64:
    h = (last | first << U(32)) ^ FLIP_8
    h ^= (h << U(49) | h >> U(15)) ^ (h << U(24) | h >> U(40))
    h *= RRMXMX
    h = (h ^ (h >> U(35)) + n) * RRMXMX
    return h ^ h >> U(28)


@njit(nogil=True, cache=True, inline="always")
def _upto16(first: np.uint64, last: np.uint64, n: np.uint64) -> np.uint64:
    low, high = first ^ FLIP_16_LOW, last ^ FLIP_16_HIGH
    return _avalanche(n + _swap(low) + high + _fold(low, high))


@njit(nogil=True, cache=True)
def xxh3_of(low: np.uint64, high: np.uint64, n: np.uint64) -> np.uint64:
    """The hash of 1 to 15 bytes, which lie in `low` and, from the ninth, in `high`, little-endian."""
    if n > U(8):
        return _upto16(low, low >> U(8) * (n - U(8)) | high << U(8) * (U(16) - n), n)
    if n >= U(4):
        return _upto8(low & LOW, low >> U(8) * (n - U(4)) & LOW, n)
    byte = U(0xFF)
    return _upto3(low & byte, low >> U(8) * (n >> U(1)) & byte, low >> U(8) * (n - U(1)) & byte, n)


@njit(nogil=True, cache=True)
def xxh3(data: np.ndarray, at: np.uint64, n: np.uint64) -> np.uint64:
    """The hash of the `n` bytes of `data` (uint8) from `at`; both must be uint64."""
    if n > U(16):
        if n <= U(128):
            return _upto128(data, at, n)
        return _upto240(data, at, n) if n <= U(240) else _long(data, at, n)
    if n > U(8):
        return _upto16(read64(data, at), read64(data, at + n - U(8)), n)
    if n >= U(4):
        return _upto8(read32(data, at), read32(data, at + n - U(4)), n)
    if n > U(0):
        return _upto3(U(data[at]), U(data[at + (n >> U(1))]), U(data[at + n - U(1)]), n)
    h = (FLIP_0 ^ FLIP_0 >> U(33)) * P64_2
    h = (h ^ h >> U(29)) * P64_3
    return h ^ h >> U(32)
