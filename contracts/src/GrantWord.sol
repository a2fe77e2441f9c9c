// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The packed state of a grant
/// @notice One word, packed by hand, so that each step of a release costs one load and one store; from the highest bits:
///
///         recipient 160 | expiry 40 | batched 1 | keeper set or batch 29 | opened 1 | revoked 1 | seq 8 | released 8 |
///         answered 8
///
///         `released` is the bitmap of the keepers that have ever committed, `answered` of those that committed for the
///         current `seq`, so that a keeper commits once a request. The recipient is never zero, so no grant's word is.
library GrantWord {
    uint256 internal constant OPENED = 1 << 25;
    uint256 internal constant REVOKED = 1 << 24;
    /// @dev The highest keeper set, and the highest batch.
    uint256 internal constant MAX_SOURCE = (1 << 29) - 1;

    uint256 private constant RECIPIENT_SHIFT = 96;
    uint256 private constant EXPIRY_SHIFT = 56;
    uint256 private constant BATCHED = 1 << 55;
    uint256 private constant SOURCE_SHIFT = 26;
    uint256 private constant SEQ_SHIFT = 16;
    uint256 private constant RELEASED_SHIFT = 8;
    uint256 private constant ANSWERED_MASK = type(uint8).max;

    function inSet(uint32 keeperSet_) internal pure returns (uint256) {
        return uint256(keeperSet_) << SOURCE_SHIFT;
    }

    function inBatch(uint32 batch_) internal pure returns (uint256) {
        return BATCHED | uint256(batch_) << SOURCE_SHIFT;
    }

    /// @param source Of `inSet` or `inBatch`.
    function pack(address recipient_, uint40 expiry_, uint256 source, bool direct)
        internal
        pure
        returns (uint256 word)
    {
        word = uint256(uint160(recipient_)) << RECIPIENT_SHIFT | uint256(expiry_) << EXPIRY_SHIFT | source;
        if (direct) word |= OPENED;
    }

    /// @dev The next request; nobody has answered it.
    function requested(uint256 word) internal pure returns (uint256) {
        return (word + (1 << SEQ_SHIFT)) & ~ANSWERED_MASK;
    }

    function hasAnswered(uint256 word, uint8 index) internal pure returns (bool) {
        return word & 1 << uint256(index) != 0;
    }

    function answeredBy(uint256 word, uint8 index) internal pure returns (uint256) {
        uint256 bit = 1 << uint256(index);
        return word | bit | bit << RELEASED_SHIFT;
    }

    function isExpired(uint256 word) internal view returns (bool) {
        uint40 end = expiry(word);
        return end != 0 && end <= block.timestamp;
    }

    /// @dev Opened by no keeper: other grants are opened by a commit, and a threshold is never zero.
    function isDirect(uint256 word) internal pure returns (bool) {
        return word & OPENED != 0 && released(word) == 0;
    }

    // casting is safe: fields have the casts' widths, or fewer bits that a mask leaves
    // forge-lint: disable-start(unsafe-typecast)
    function recipient(uint256 word) internal pure returns (address) {
        return address(uint160(word >> RECIPIENT_SHIFT));
    }

    function expiry(uint256 word) internal pure returns (uint40) {
        return uint40(word >> EXPIRY_SHIFT);
    }

    /// @dev 0 for a grant by itself.
    function batch(uint256 word) internal pure returns (uint32) {
        return word & BATCHED == 0 ? 0 : uint32(word >> SOURCE_SHIFT & MAX_SOURCE);
    }

    /// @dev Of a grant by itself; a batch knows its own.
    function keeperSet(uint256 word) internal pure returns (uint32) {
        return uint32(word >> SOURCE_SHIFT & MAX_SOURCE);
    }

    function seq(uint256 word) internal pure returns (uint8) {
        return uint8(word >> SEQ_SHIFT);
    }

    function released(uint256 word) internal pure returns (uint8) {
        return uint8(word >> RELEASED_SHIFT);
    }
    // forge-lint: disable-end(unsafe-typecast)
}
