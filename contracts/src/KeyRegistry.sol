// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Authorizations} from "./Authorizations.sol";
import {Captures} from "./Captures.sol";
import {Grants} from "./Grants.sol";
import {Keys} from "./Keys.sol";
import {Releases} from "./Releases.sol";

/// @title KeyRegistry
/// @notice The registry of IKeyRegistry: one contract of five parts over the storage of Layout.
contract KeyRegistry is Keys, Captures, Grants, Releases {
    constructor(bytes32 salt) Authorizations(salt) {}
}
