/*
 * explain/rfc8448.h — the trace of RFC 8448, 3 (simple 1-RTT handshake): records as they were sent and the secrets of the
 * key schedule, in hexadecimal.
 */
#ifndef EXPLAIN_RFC8448_H
#define EXPLAIN_RFC8448_H

#define S3_CLIENT_HELLO                                                                                                \
	"16030100c4010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece70000061301130313020100" \
	"0091"                                                                                                         \
	"0000000b0009000006736572766572ff01000100000a00140012001d0017001800190100010101020103010400230000003300260024" \
	"001d"                                                                                                         \
	"002099381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c002b0003020304000d0020001e04030503060302" \
	"0308"                                                                                                         \
	"040805080604010501060102010402050206020202002d00020101001c00024001"
#define S3_SERVER_HELLO                                                                                                \
	"160303005a020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e2692800130100002e0033002400" \
	"1d00"                                                                                                         \
	"20c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f002b00020304"
#define S3_SERVER_FLIGHT                                                                                               \
	"17030302a2d1ff334a56f5bff6594a07cc87b580233f500f45e489e7f33af35edf7869fcf40aa40aa2b8ea73f848a7ca07612ef9f945" \
	"cb96"                                                                                                         \
	"0b4068905123ea78b111b429ba9191cd05d2a389280f526134aadc7fc78c4b729df828b5ecf7b13bd9aefb0e57f271585b8ea9bb355c" \
	"7c79"                                                                                                         \
	"020716cfb9b1183ef3ab20e37d57a6b9d7477609aee6e122a4cf51427325250c7d0e509289444c9b3a648f1d71035d2ed65b0e3cdd0c" \
	"bae8"                                                                                                         \
	"bf2d0b227812cbb360987255cc744110c453baa4fcd610928d809810e4b7ed1a8fd991f06aa6248204797e36a6a73b70a2559c09ead6" \
	"8694"                                                                                                         \
	"5ba246ab66e5edd8044b4c6de3fcf2a89441ac66272fd8fb330ef8190579b3684596c960bd596eea520a56a8d650f563aad27409960d" \
	"ca63"                                                                                                         \
	"d3e688611ea5e22f4415cf9538d51a200c27034272968a264ed6540c84838d89f72c24461aad6d26f59ecaba9acbbb317b66d902f4f2" \
	"92a3"                                                                                                         \
	"6ac1b639c637ce343117b659622245317b49eeda0c6258f100d7d961ffb138647e92ea330faeea6dfa31c7a84dc3bd7e1b7a6c7178af" \
	"3687"                                                                                                         \
	"9018e3f252107f243d243dc7339d5684c8b0378bf30244da8c87c843f5e56eb4c5e8280a2b48052cf93b16499a66db7cca71e4599426" \
	"f7d4"                                                                                                         \
	"61e66f99882bd89fc50800becca62d6c74116dbd2972fda1fa80f85df881edbe5a37668936b335583b599186dc5c6918a396fa48a181" \
	"d6b6"                                                                                                         \
	"fa4f9d62d513afbb992f2b992f67f8afe67f76913fa388cb5630c8ca01e0c65d11c66a1e2ac4c85977b7c7a6999bbf10dc35ae69f551" \
	"5614"                                                                                                         \
	"636c0b9b68c19ed2e31c0b3b66763038ebba42f3b38edc0399f3a9f23faa63978c317fc9fa66a73f60f0504de93b5b845e275592c123" \
	"35ee"                                                                                                         \
	"340bbc4fddd502784016e4b3be7ef04dda49f4b440a30cb5d2af939828fd4ae3794e44f94df5a631ede42c1719bfdabf0253fe5175be" \
	"898e"                                                                                                         \
	"750edc53370d2b"
#define S3_CLIENT_FINISHED                                                                                             \
	"170303003575ec4dc238cce60b298044a71e219c56cc77b0517fe9b93c7a4bfc44d87f38f80338ac98fc46deb384bd1caeacab6867d7" \
	"26c4"                                                                                                         \
	"0546"
#define S3_TICKET                                                                                                      \
	"17030300de3a6b8f90414a97d6959c3487680de5134a2b240e6cffac116e95d41d6af8f6b580dcf3d11d63c758db289a015940252f55" \
	"713e"                                                                                                         \
	"061dc13e078891a38efbcf5753ad8ef170ad3c7353d16d9da773b9ca7f2b9fa1b6c0d4a3d03f75e09c30ba1e62972ac46f75f7b981be" \
	"6343"                                                                                                         \
	"9b2999ce13064615139891d5e4c5b406f16e3fc181a77ca475840025db2f0a77f81b5ab05b94c01346755f69232c86519d86cbeeac87" \
	"aac3"                                                                                                         \
	"47d143f9605d64f650db4d023e70e952ca49fe5137121c74bc2697687e248746d6df353005f3bce18696129c8153556b3b6c6779b37b" \
	"f159"                                                                                                         \
	"85684f"
#define S3_CLIENT_DATA                                                                                                 \
	"1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a62" \
	"92a2"                                                                                                         \
	"977014bd1e3deae63aeebb21694915e4"
#define S3_SERVER_DATA                                                                                                 \
	"17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5" \
	"f0a2"                                                                                                         \
	"1c0047c2abf332540dd032e167c2955d"
#define S3_CLIENT_CLOSE "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3"
#define S3_SERVER_CLOSE "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9"

#define S3_SHARED        "8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d"
#define S3_EARLY         "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"
#define S3_HANDSHAKE     "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac"
#define S3_C_HS          "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21"
#define S3_S_HS          "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38"
#define S3_MASTER        "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919"
#define S3_C_AP          "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"
#define S3_S_AP          "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"
#define S3_EXP           "fe22f881176eda18eb8f44529e6792c50c9a3f89452f68d8ae311b4309d3cf50"
#define S3_RES           "7df235f2031d2a051287d02b0241b0bfdaf86cc856231f2d5aba46c434ec196c"
#define S3_PSK           "4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1c4f3"
#define S3_HELLO_HASH    "860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8"
#define S3_SERVER_HASH   "9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13"
#define S3_CLIENT_HASH   "209145a96ee8e2a122ff810047cc952684658d6049e86429426db87c54ad143d"
#define S3_S_HS_KEY      "3fce516009c21727d0f2e4e86ee403bc"
#define S3_S_HS_IV       "5d313eb2671276ee13000b30"
#define S3_C_HS_KEY      "dbfaa693d1762c5b666af5d950258d01"
#define S3_C_HS_IV       "5bd3c71b836e0b76bb73265f"
#define S3_S_AP_KEY      "9f02283b6c9c07efc26bb9f2ac92e356"
#define S3_S_AP_IV       "cf782b88dd83549aadf1e984"
#define S3_C_AP_KEY      "17422dda596ed5d9acd890e3c63f5051"
#define S3_C_AP_IV       "5b78923dee08579033e523d9"
#define S3_SERVER_VERIFY "9b9b141d906337fbd2cbdce71df4deda4ab42c309572cb7fffee5454b78f0718"
#define S3_CLIENT_VERIFY "a8ec436d677634ae525ac1fcebe11a039ec17694fac6e98527b642f2edd5ce61"
#define S3_DATA          "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031"
/* The signed hash, the transcript up to the server's Certificate. */
#define S3_SIGNED_HASH "764d6632b3c35c3f3205e3499ac3edbaabb88295fba751461d3678e2e5ea0687"

#endif
