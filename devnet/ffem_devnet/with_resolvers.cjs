// Loaded before the IPFS daemon: packages below it call Promise.withResolvers, which Node has from version 22 on.
'use strict'

if (typeof Promise.withResolvers !== 'function') {
  Promise.withResolvers = function withResolvers() {
    let resolve, reject
    const promise = new this((accept, refuse) => {
      resolve = accept
      reject = refuse
    })
    return { promise, resolve, reject }
  }
}
