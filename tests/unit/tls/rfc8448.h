/*
 * The handshake traces of RFC 8448, sections 3 (1-RTT), 4 (resumption with 0-RTT) and 5 (HelloRetryRequest): records as
 * they were sent and the secrets of the key schedule, in hexadecimal.
 */
#ifndef TESTS_TLS_RFC8448_H
#define TESTS_TLS_RFC8448_H

/* Section 3, which explain shows too. */
#include "explain/rfc8448.h"

/* Section 4. */
#define S4_CLIENT_HELLO                                                                                                \
	"1603010200010001fc03031bc3ceb6bbe39cff938355b5a50adb6db21b7a6af649d7b4bc419d7876487d950000061301130313020100" \
	"01cd"                                                                                                         \
	"0000000b0009000006736572766572ff01000100000a00140012001d00170018001901000101010201030104003300260024001d0020" \
	"e4ff"                                                                                                         \
	"b68ac05f8d96c99da26698346c6be16482badddafe051a66b4f18d668f0b002a0000002b0003020304000d0020001e04030503060302" \
	"0308"                                                                                                         \
	"040805080604010501060102010402050206020202002d00020101001c00024001001500570000000000000000000000000000000000" \
	"0000"                                                                                                         \
	"000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000" \
	"0000"                                                                                                         \
	"000000000000000000000000002900dd00b800b22c035d829359ee5ff7af4ec900000000262a6494dc486d2c8a34cb33fa90bf1b0070" \
	"ad3c"                                                                                                         \
	"498883c9367c09a2be785abc55cd226097a3a982117283f82a03a143efd3ff5dd36d64e861be7fd61d2827db279cce145077d454a366" \
	"4d4e"                                                                                                         \
	"6da4d29ee03725a6a4dafcd0fc67d2aea70529513e3da2677fa5906c5b3f7d8f92f228bda40dda721470f9fbf297b5aea617646fac5c" \
	"0327"                                                                                                         \
	"2e970727c621a79141ef5f7de6505e5bfbc388e93343694093934ae4d357fad6aacb0021203add4fb2d8fdf822a0ca3cf7678ef5e88d" \
	"ae99"                                                                                                         \
	"0141c5924d57bb6fa31b9e5f9d"
#define S4_EARLY_DATA "1703030017ab1df420e75c457a7cc5d2844f76d5aee4b4edbf049be0"
#define S4_SERVER_HELLO                                                                                                \
	"16030300600200005c03033ccfd2dec890222763472ae8136777c9d7358777bb66e91ea5122495f559ea2d0013010000340029000200" \
	"0000"                                                                                                         \
	"330024001d0020121761ee42c333e1b9e77b60dd57c2053cd94512ab47f115e86eff50942cea31002b00020304"
#define S4_SERVER_FLIGHT                                                                                               \
	"1703030061dc48237b4b879f50d0d4d262ea8b4716eb40ddc1eb957e11126e8a7149c2d012d37a7115957e64ce30008b9e0323f2c05a" \
	"9c1c"                                                                                                         \
	"77b4f37849a695ab255060a33fee770ca95cb8486bfd0843b87024865ca35cc41c4e515c64dcb1369f98635bc7a5"
#define S4_END_OF_EARLY_DATA "1703030015aca6fc944841298df99593725f9bf9754429b12f09"
#define S4_CLIENT_FINISHED                                                                                             \
	"1703030035"                                                                                                   \
	"00f8b467d14cf22a4b3f0b6ae0d8e6cc8d08e0db3515ef5c2bdf1922eafbb70009964716d834fb70c3d2a56c5b1f5f6bdba6c333cf"
#define S4_CLIENT_DATA                                                                                                 \
	"1703030043b1cebce242aa201be9ae5e1cb2a9aa4b33d4e866af1edb068919237741aa031d7a74d491c99b9d4e232b74206bc6fbaa04" \
	"fe78"                                                                                                         \
	"be44a9b4f54320a17eb76992afac3103"
#define S4_SERVER_DATA                                                                                                 \
	"1703030043275e9f20acff57bc000657d3867df039cccf79047884cf75771746f740b5a83f462a0954c3581393a203a25a7dd14141ef" \
	"1a37"                                                                                                         \
	"900cdb62ff62dee1ba39ab2590cbf194"

#define S4_SHARED      "f44194756ff9ec9d25180635d66ea6824c6ab3bf179977be37f723570e7ccb2e"
#define S4_EARLY       "9b2188e9b2fc6d64d71dc329900e20bb41915000f678aa839cbb797cb7d8332c"
#define S4_BINDER_HASH "63224b2e4573f2d3454ca84b9d009a04f6be9e05711a8396473aefa01e924a14"
#define S4_BINDER_KEY  "69fe131a3bbad5d63c64eebcc30e395b9d8107726a13d074e389dbc8a4e47256"
#define S4_BINDER      "3add4fb2d8fdf822a0ca3cf7678ef5e88dae990141c5924d57bb6fa31b9e5f9d"
#define S4_C_E         "3fbbe6a60deb66c30a32795aba0eff7eaa10105586e7be5c09678d63b6caab62"
#define S4_E_EXP       "b2026866610937d7423e5be90862ccf24c0e6091186d34f812089ff5be2ef7df"
#define S4_C_E_KEY     "920205a5b7bf2115e6fc5c2942834f54"
#define S4_C_E_IV      "6d475f0993c8e564610db2b9"
#define S4_HANDSHAKE   "005cb112fd8eb4ccc623bb88a07c64b3ede1605363fc7d0df8c7ce4ff0fb4ae6"
#define S4_C_HS        "2faac08f851d35fea3604fcb4de82dc62c9b164a70974d0462e27f1ab278700f"
#define S4_S_HS        "fe927ae271312e8bf0275b581c54eef020450dc4ecffaa05a1a35d27518e7803"
#define S4_MASTER      "e2d32d4ed66dd37897a0e80c84107503ce58bf8aad4cb55a5002d77ecb890ece"
#define S4_C_AP        "2abbf2b8e381d23dbebe1dd2a7d16a8bf484cb4950d23fb7fb7fa8547062d9a1"
#define S4_S_AP        "cc21f1bf8feb7dd5fa505bd9c4b468a9984d554a993dc49e6d285598fb672691"
#define S4_EXP         "3fd93d4ffddc98e64b14dd107aedf8ee4add23f4510f58a4592d0b201bee56b4"
#define S4_RES         "5e95bdf1f89005ea2e9aa0ba85e728e3c19c5fe0c699e3f5bee59faebd0b5406"

/* Section 5. */
#define S5_CLIENT_HELLO_1                                                                                              \
	"16030100b4010000b00303b0b1c5a5aa37c5919f2ed1d5c6fff7fcb7849716945a2b8cee9258a346677b6f0000061301130313020100" \
	"0081"                                                                                                         \
	"0000000b0009000006736572766572ff01000100000a00080006001d00170018003300260024001d0020e8e8e3f3b93a25ed97a14a7d" \
	"cacb"                                                                                                         \
	"8a272c6288e585c6484d05262fcad062ad1f002b0003020304000d0020001e0403050306030203080408050806040105010601020104" \
	"0205"                                                                                                         \
	"0206020202002d00020101001c00024001"
#define S5_RETRY                                                                                                       \
	"16030300b0020000ac0303cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c0013010000840033000200" \
	"1700"                                                                                                         \
	"2c0074007271dcd04bb88bc3189119398a00000000eefafc76c146b823b096f8aacad365dd0030953f4edf625636e5f21bb2e23fcc65" \
	"4b1b"                                                                                                         \
	"5b40318d10d137abcbb87574e36e8a1f025f7dfa5d6e50781b5eda4aa15b0c8be778257d16aa3030e9e7841dd9e4c0342267e8ca0caf" \
	"571f"                                                                                                         \
	"b2b7cff0f934b0002b00020304"
#define S5_CLIENT_HELLO_2                                                                                              \
	"1603030200010001fc0303b0b1c5a5aa37c5919f2ed1d5c6fff7fcb7849716945a2b8cee9258a346677b6f0000061301130313020100" \
	"01cd"                                                                                                         \
	"0000000b0009000006736572766572ff01000100000a00080006001d001700180033004700450017004104a6da7392ec591e17abfd53" \
	"5964"                                                                                                         \
	"b99894d13befb221b3def2ebe3830eac8f0151812677c4d6d2237e85cf01d6910cfb83954e76ba7352830534159897e8065780002b00" \
	"0302"                                                                                                         \
	"0304000d0020001e040305030603020308040805080604010501060102010402050206020202002c0074007271dcd04bb88bc3189119" \
	"398a"                                                                                                         \
	"00000000eefafc76c146b823b096f8aacad365dd0030953f4edf625636e5f21bb2e23fcc654b1b5b40318d10d137abcbb87574e36e8a" \
	"1f02"                                                                                                         \
	"5f7dfa5d6e50781b5eda4aa15b0c8be778257d16aa3030e9e7841dd9e4c0342267e8ca0caf571fb2b7cff0f934b0002d00020101001c" \
	"0002"                                                                                                         \
	"4001001500af000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000" \
	"0000"                                                                                                         \
	"000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000" \
	"0000"                                                                                                         \
	"000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000" \
	"0000"                                                                                                         \
	"00000000000000000000000000"
#define S5_SERVER_HELLO                                                                                                \
	"160303007b020000770303bb341d847fd789c47c387172dc0c9bf147fccacb5043d86ca4c598d3ff571b9800130100004f0033004500" \
	"1700"                                                                                                         \
	"4104583e054b7a66672ae020ad9d2686fcc85b5ad41a134a0f03ee72b893052bd85b4c8de6776f5b04ac07d83540eab3e3d9c547bc65" \
	"28c4"                                                                                                         \
	"317d294686093a6cad7d002b00020304"
#define S5_SERVER_FLIGHT                                                                                               \
	"170303029699bee20baf5b7fc727bfab6223928a381e6d0cf9c4da653f9d2a7b23f7de11cce842d5cf75631763450ffb8b0cc1d238e6" \
	"58af"                                                                                                         \
	"7a12adc86243114ab14a1da2fae42621ce483fb6242eabfaad52566b02b31d2eddedefeb80e66a9900d5f973b40c4fdf74719ecf1b68" \
	"d7f9"                                                                                                         \
	"c3b6ceb903ca13dd1bb8f8187ae33417e1d152522c5822a1a03ad52c838c55953d610222874cce8e1790b229a2aa0b53c8d377ee7201" \
	"8295"                                                                                                         \
	"1dc6181dc5d90bd1f0105ed1e84aa5f75957c6661897079e5ea5007449e3197bdc7c9beeedddeafdd844afa5c315ecfe65e576afe909" \
	"8128"                                                                                                         \
	"80620ec7048b42d7f5c78d76f299d6d82534bdd8f512febc0ed3814aca470cd8000d3e1cb9962b052fbb950df683a52c2ba77ed3713b" \
	"1229"                                                                                                         \
	"37a6e5170964e2ab7969dcd980b3db9b458da7603124d6dc005e4d6e04b4d0c4baf3275db827dbba0a6db09672171fc057b3851d7e02" \
	"6841"                                                                                                         \
	"e2978fbd2346bbefdd0376bb1108fe9acc92189f5650aa5e85d8e8c7b67ac510dba003d3d7e16350bb66d45013efd44c9b607c0d318c" \
	"4c7d"                                                                                                         \
	"1a1f5cbc57e20611804e3787d7b4a4b5f08ed8fd70bdaeade02260b12ab842ef690b4a3ee7911e841b374ecd5ebbbc2a54d047b60033" \
	"6dd7"                                                                                                         \
	"d0c88b4bc10e58ee6cb656de7247fa20d8e91deb84628608cf80615b62e96c1491c7ac3755eb6901405d3474fe1ac79d106a0cee56c2" \
	"577f"                                                                                                         \
	"c88480f96cb6b8c681b7b68b53c146093908f350888175bdfb0b1e31ad61e30ba0adfe6d223aa03c0783b5001a57587c328a9afcfcfb" \
	"978d"                                                                                                         \
	"1cd4328f7d9d60530e630befd96c0c816ee20b0100768ae2a6df51fc68f172740a79af11398ee3be1252491fa9c693479e877f94ab7c" \
	"5f8c"                                                                                                         \
	"ad480203e6ab7b87dd71e8a0729113df17f5eee86ce108d1d72007ec1cd13c85a6c149621e77b7d78d805a30f0be030c315e54"
#define S5_CLIENT_FINISHED                                                                                             \
	"1703030035d74f1923c662fd34137c6f502f3dd2b93d951d1b3bc97e42afe23c31abea92fe91b474999e85e3b791ce252fe8c3e9f939" \
	"a412"                                                                                                         \
	"0cb2"
#define S5_CLIENT_CLOSE  "17030300132ea6cdf749196023e2b3a49491695536426047"
#define S5_SERVER_CLOSE  "1703030013519fc5075cb0884349759ff9ef6f011bb4c6f2"
#define S5_SHARED        "c142ce13ca11b5c2233652e63ad3d97844f1621fbfb9de69d547dc8fedeabeb4"
#define S5_HANDSHAKE     "ce022e5e6e81e50736d773f2d3adfce8220d049bf510f0dbfac927ef4243b148"
#define S5_SERVER_VERIFY "8863e6bfb0420a927fa27f34336a70ae426e968e3eb884945b96856dba3976d1"
#define S5_SIGNED_HASH   "a303fd397938c2b5c3fb0dfb33bd6c46d890331e3be5ed3b8ea2be5218c3db1a"

#endif
