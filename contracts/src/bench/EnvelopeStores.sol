// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Ways to keep sealed bytes on a chain, to compare what each costs (`ffem eval peers`); no part of the registry
/// @dev Each way keeps `payload` under `id` so that it can be found again by `id`, and does nothing else: no owner, no
///      checks. The code store is the idea of SSTORE2 (0xSequence; also in Solmate and Solady): a contract whose code
///      is a STOP byte and the payload.
contract EnvelopeStores {
    /// @dev The limit of code (EIP-170) and the STOP byte.
    uint256 private constant LONGEST = 24_575;

    mapping(bytes32 id => bytes payload) private _payloads;
    mapping(bytes32 id => address pointer) private _pointers;
    mapping(bytes32 id => bytes32 digest) private _digests;

    /// @notice The payload in the log: contracts cannot read it back.
    event Kept(bytes32 indexed id, bytes payload);

    error TooLong(uint256 length);
    error NotCreated();

    /// @notice In the contract's storage, 32 bytes a slot.
    function inStorage(bytes32 id, bytes calldata payload) external {
        _payloads[id] = payload;
    }

    /// @notice In the code of a contract that is made for it; at most 24,575 bytes.
    function inCode(bytes32 id, bytes calldata payload) external {
        if (payload.length > LONGEST) revert TooLong(payload.length);
        // PUSH2 length DUP1 PUSH1 10 RETURNDATASIZE CODECOPY RETURNDATASIZE RETURN; then the code: STOP, payload
        bytes memory creation = abi.encodePacked(
            bytes1(0x61), uint16(payload.length + 1), bytes7(0x80600a3d393df3), bytes1(0), payload
        );
        address pointer;
        assembly ("memory-safe") {
            pointer := create(0, add(creation, 32), mload(creation))
        }
        if (pointer == address(0)) revert NotCreated();
        _pointers[id] = pointer;
    }

    /// @notice In the log only.
    function inLog(bytes32 id, bytes calldata payload) external {
        emit Kept(id, payload);
    }

    /// @notice In the log, and its digest in storage: contracts can check a payload that they are shown.
    function inLogWithDigest(bytes32 id, bytes calldata payload) external {
        _digests[id] = keccak256(payload);
        emit Kept(id, payload);
    }

    /// @notice What `inStorage` kept.
    function fromStorage(bytes32 id) external view returns (bytes memory) {
        return _payloads[id];
    }

    /// @notice What `inCode` kept; nothing where it kept nothing.
    function fromCode(bytes32 id) external view returns (bytes memory payload) {
        bytes memory code = _pointers[id].code;
        if (code.length == 0) return code;
        payload = new bytes(code.length - 1);
        for (uint256 i = 0; i < payload.length; ++i) {
            payload[i] = code[i + 1];
        }
    }

    /// @notice The digest that `inLogWithDigest` kept.
    function digest(bytes32 id) external view returns (bytes32) {
        return _digests[id];
    }
}
