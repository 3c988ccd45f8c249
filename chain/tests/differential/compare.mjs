// Answers one JSON object per line of standard input with one per line of standard output, by viem alone.
// Numbers that may be large travel as decimal text.
import { createInterface } from 'node:readline'
import {
  encodeFunctionData, getContractAddress, hashMessage, hashTypedData, keccak256, parseAbi, recoverMessageAddress,
  recoverTransactionAddress, recoverTypedDataAddress, serializeTransaction,
} from 'viem'
import { privateKeyToAccount, publicKeyToAddress } from 'viem/accounts'
import { recoverAuthorizationAddress } from 'viem/utils'

const big = (text) => (text === undefined ? undefined : BigInt(text))

// viem takes chain ids and nonces as numbers, everything else as bigint
function transaction(fields) {
  return {
    ...fields,
    gas: big(fields.gas),
    value: big(fields.value),
    gasPrice: big(fields.gasPrice),
    maxFeePerGas: big(fields.maxFeePerGas),
    maxPriorityFeePerGas: big(fields.maxPriorityFeePerGas),
    maxFeePerBlobGas: big(fields.maxFeePerBlobGas),
  }
}

// Arguments arrive as text, booleans and lists; integers carry the prefix "int:".
function argument(value) {
  if (Array.isArray(value)) return value.map(argument)
  return typeof value === 'string' && value.startsWith('int:') ? BigInt(value.slice(4)) : value
}

const answers = {
  async transaction({ fields, key, theirs }) {
    const account = privateKeyToAccount(key)
    const unsigned = serializeTransaction(transaction(fields))
    const raw = await account.signTransaction(transaction(fields))
    const authorities = await Promise.all(
      (fields.authorizationList ?? []).map((authorization) => recoverAuthorizationAddress({ authorization })),
    )
    return {
      unsigned,
      digest: keccak256(unsigned),
      raw,
      hash: keccak256(raw),
      account: account.address,
      recovered: await recoverTransactionAddress({ serializedTransaction: theirs }),
      created: getContractAddress({ from: account.address, nonce: BigInt(fields.nonce) }),
      authorities,
    }
  },
  async call({ signature, args }) {
    const abi = parseAbi([`function ${signature}`])
    return { data: encodeFunctionData({ abi, args: args.map(argument) }) }
  },
  async message({ raw, signature }) {
    return { digest: hashMessage({ raw }), recovered: await recoverMessageAddress({ message: { raw }, signature }) }
  },
  async typed({ data, signature }) {
    const parsed = JSON.parse(data)
    return { digest: hashTypedData(parsed), recovered: await recoverTypedDataAddress({ ...parsed, signature }) }
  },
  async address({ publicKey }) {
    return { address: publicKeyToAddress(publicKey) }
  },
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const request = JSON.parse(line)
  let answer
  try {
    answer = await answers[request.kind](request)
  } catch (error) {
    answer = { error: String(error.message ?? error) }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
