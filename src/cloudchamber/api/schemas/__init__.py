"""What requests and answers hold, as msgspec Structs: one module a family, named as in `api/routes/`.

They are the contract that the OpenAPI document states and that the tests hold every answer to; handlers go on reading
`Fields`, which takes the odd encodings that clients send.
"""
